import { afterEach, describe, expect, it, vi } from 'vitest';
import { beginAt, fragmentsOf, grown, history, nearest, placeOf, stepOf } from '../src/player/dvr';
import { clockSpan } from '../src/player/scrub';
import { cuesAt } from '../src/player/captions';
import { Thumbs } from '../src/player/thumbs';
import { press, type KeyActions } from '../src/player/keys';
import { clockOf, wordsFor } from '../src/player/words';

const t0 = Date.parse('2026-11-20T10:00:00Z');
const target = { server: 'https://s', stream: 'cam', token: 'secret' };

/** Two segments of four seconds, a hole of half a minute, two more. */
const playlist = [
  '#EXTM3U', '#EXT-X-VERSION:6', '#EXT-X-TARGETDURATION:4', '#EXT-X-MEDIA-SEQUENCE:7', '#EXT-X-MAP:URI="rec/1/v0/init.mp4"',
  '#EXT-X-PROGRAM-DATE-TIME:2026-11-20T10:00:00.000Z', '#EXTINF:4.00000,', 'a.m4s',
  '#EXT-X-PROGRAM-DATE-TIME:2026-11-20T10:00:04.000Z', '#EXTINF:4.00000,', 'b.m4s',
  '#EXT-X-DISCONTINUITY', '#EXT-X-MAP:URI="rec/2/v0/init.mp4"',
  '#EXT-X-PROGRAM-DATE-TIME:2026-11-20T10:00:38.000Z', '#EXTINF:4.00000,', 'c.m4s',
  '#EXT-X-PROGRAM-DATE-TIME:2026-11-20T10:00:42.000Z', '#EXTINF:2.50000,', 'd.m4s', '',
].join('\n');

afterEach(() => vi.unstubAllGlobals());

describe('a moment in a recording', () => {
  const fragments = fragmentsOf(playlist);

  it.each([
    [0, 0], [3999, 3.999], [4000, 4], [7500, 7.5],
    [8000, 8], [20_000, 8], [37_999, 8], // the hole: where it goes on
    [38_000, 8], [40_000, 10], [44_000, 14],
    [-1, undefined], [44_500, undefined], [99_000, undefined],
  ])('%d ms after the beginning is at %s s', (ms, seconds) => {
    expect(placeOf(fragments, t0 + ms)).toEqual(seconds);
  });

  it('is where a playlist is begun', () => {
    expect(beginAt(playlist, t0 + 40_000)).toContain('#EXTM3U\n#EXT-X-START:TIME-OFFSET=10.000,PRECISE=YES\n');
    expect(beginAt(playlist, t0 - 1)).toBe(playlist);
    expect(beginAt('not a playlist', t0)).toBe('not a playlist');
  });

  it.each([
    [-5000, 0], [3000, 3000], [9000, 20_000], [19_999, 20_000], [25_000, 25_000], [99_000, 29_999],
  ])('%d ms is shown as %d', (at, shown) => {
    expect(nearest([[0, 8000], [20_000, 30_000]], at)).toBe(shown);
  });

  it('may have been recorded since the server was asked', () => {
    const spans = [[0, 5], [8, 20]] as const;
    expect(grown({ spans, ahead: 0, growing: true }, 50)).toEqual([[0, 5], [8, 50]]);
    expect(grown({ spans, ahead: 0, growing: false }, 50)).toBe(spans);
    expect(spans[1][1]).toBe(20);
  });
});

describe('the history', () => {
  const answer = (status: number, body: unknown) => vi.stubGlobal('fetch', vi.fn(async () => new Response(JSON.stringify(body), { status })));

  it('knows how far clocks are apart, and asks with the token in a header', async () => {
    answer(200, { now: Date.now() + 90_000, spans: [[1, Date.now() + 85_000]] });
    const h = await history(target);
    expect(h!.ahead).toBeGreaterThan(89_000);
    expect(h!.ahead).toBeLessThan(91_000);
    expect(h!.growing).toBe(true);
    const [url, init] = vi.mocked(fetch).mock.calls[0]!;
    expect(url).toBe('https://s/hls/cam/dvr.json');
    expect(init!.headers).toEqual({ Authorization: 'Bearer secret' });
  });

  it('is none where nothing was recorded', async () => {
    answer(404, {});
    expect(await history(target)).toBeNull();
    answer(200, { now: 1, spans: [] });
    expect(await history(target)).toBeNull();
  });
});

it.each([[60_000, 2000], [300_000, 2000], [301_000, 5000], [3_600_000, 30_000], [7_200_000, 60_000], [86_400_000, 120_000]])(
  'a time line of %d ms has a picture every %d', (length, step) => expect(stepOf(length)).toBe(step));

it.each([[0, '0:00'], [59_400, '0:59'], [75_000, '1:15'], [3_700_000, '1:01:40'], [-5, '0:00']])('%d ms are %s', (ms, text) => expect(clockSpan(ms)).toBe(text));

it('clock times say the day unless it is today', () => {
  const [noon, yesterday] = [new Date(2026, 10, 20, 12).getTime(), new Date(2026, 10, 19, 23, 59, 58).getTime()];
  expect(clockOf(wordsFor('en'), noon + 61_000, noon)).toBe('12:01:01');
  expect(clockOf(wordsFor('en'), yesterday, noon)).toBe('Nov 19 23:59:58');
  expect(clockOf(wordsFor('zh-CN'), yesterday, noon)).toBe('11月19日 23:59:58');
});

it('cues are those of the moment', () => {
  const cues = [{ startTime: 1, endTime: 3 }, { startTime: 2, endTime: 4 }, { startTime: 4, endTime: 5 }];
  expect(cuesAt(cues, 2)).toEqual(cues.slice(0, 2));
  expect(cuesAt(cues, 4)).toEqual(cues.slice(2));
  expect(cuesAt(cues, -1)).toEqual([]);
});

describe('small pictures', () => {
  const made = new Set<string>();
  let served: { url: string; answer: (r: Response) => void }[] = [];
  const serve = () => {
    served = [];
    vi.stubGlobal('fetch', (url: string) => new Promise<Response>((answer) => served.push({ url, answer })));
    let n = 0;
    vi.stubGlobal('URL', { createObjectURL: () => (made.add(`blob:${++n}`), `blob:${n}`), revokeObjectURL: (u: string) => made.delete(u) });
  };
  const settled = () => new Promise((r) => setTimeout(r));

  it('are asked for one at a time, the last wanted next, and kept', async () => {
    serve();
    const thumbs = new Thumbs(target);
    const shown: [number, string][] = [];
    for (const at of [1000, 2000, 3000]) thumbs.want(at, (url) => shown.push([at, url]));
    expect(served.map((s) => s.url)).toEqual(['https://s/api/v1/streams/cam/snapshot?at=1']);
    served[0]!.answer(new Response('x'));
    await settled();
    expect(served.map((s) => s.url.slice(-1))).toEqual(['1', '3']);
    served[1]!.answer(new Response('x'));
    await settled();
    thumbs.want(1000, (url) => shown.push([1000, url]));
    expect(shown).toEqual([[3000, 'blob:2'], [1000, 'blob:1']]);
    expect(served).toHaveLength(2);
    thumbs.close();
    expect(made.size).toBe(0);
  });

  it('are no longer asked for where the server makes none', async () => {
    serve();
    const thumbs = new Thumbs(target);
    const shown: string[] = [];
    thumbs.want(1000, (url) => shown.push(url));
    served[0]!.answer(new Response('{}', { status: 501 }));
    await settled();
    thumbs.want(2000, (url) => shown.push(url));
    expect(shown).toEqual(['', '']);
    expect(served).toHaveLength(1);
    thumbs.close();
  });
});

describe('keys', () => {
  const key = (name: string, more: object = {}) => ({ key: name, composedPath: () => [{ localName: 'div' }], ...more }) as unknown as KeyboardEvent;
  const did: string[] = [];
  const note = (what: string, answer: any = undefined) => (...args: unknown[]) => (did.push([what, ...args].join(' ')), answer);
  const actions: KeyActions = {
    toggle: note('toggle'), mute: note('mute'), fullscreen: note('fullscreen'), captions: note('captions', false), live: note('live'),
    nudge: note('nudge', true), volume: note('volume'), help: note('help'), escape: note('escape', false),
  };

  it.each<[string, object, string[], boolean]>([
    [' ', {}, ['toggle'], true],
    [' ', { composedPath: () => [{ localName: 'button' }] }, [], false], // the button's own
    ['K', { shiftKey: true }, ['toggle'], true],
    ['m', {}, ['mute'], true], ['f', {}, ['fullscreen'], true], ['l', {}, ['live'], true],
    ['f', { ctrlKey: true }, [], false], ['l', { metaKey: true }, [], false],
    ['c', {}, ['captions'], false], // nothing to show: the key is the page's
    ['?', { shiftKey: true }, ['help'], true],
    ['ArrowLeft', {}, ['nudge -10000'], true], ['ArrowRight', { shiftKey: true }, ['nudge 60000'], true],
    ['ArrowUp', {}, ['volume 0.1'], true], ['Escape', {}, ['escape'], false], ['x', {}, [], false],
  ])('%s %o', (name, more, want, taken) => {
    did.length = 0;
    expect(press(key(name, more), actions)).toBe(taken);
    expect(did).toEqual(want);
  });
});
