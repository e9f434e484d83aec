/** What of a stream's past can be watched, and the arithmetic of a time line. Times are ms since 1970 by the server's clock. */
import type { Target } from './transport';

/** From and to of what was recorded without interruption. */
export type Span = readonly [from: number, to: number];

export interface History {
  /** oldest first, never empty */
  spans: readonly Span[];
  /** ms that the server's clock is ahead of this device's */
  ahead: number;
  /** the last one is being recorded now */
  growing: boolean;
}

/** ms by which a recording that goes on lags: the longest usual segment, and some. */
const writes = 15_000;

/** Asks the server what it has recorded of a stream; null if that is nothing. */
export async function history({ server, stream, token }: Target): Promise<History | null> {
  const sent = Date.now();
  const r = await fetch(`${server}/hls/${stream}/dvr.json`, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
  if (!r.ok) return null;
  const { now, spans }: { now: number; spans: Span[] } = await r.json();
  return spans.length ? { spans, ahead: now - (sent + Date.now()) / 2, growing: now - spans.at(-1)![1] < writes } : null;
}

/** ms behind the live picture at which one may as well watch live: a recording is a segment behind anyway. */
export const edge = 4000;

/** What there is by now, when the server was asked a while ago. */
export function grown({ spans, growing }: History, now: number): readonly Span[] {
  return growing ? spans.with(-1, [spans.at(-1)![0], now]) : spans;
}

/** The moment that can be watched nearest to one: itself, or after a hole where it goes on, or the last. */
export function nearest(spans: readonly Span[], at: number): number {
  const span = spans.find(([, to]) => to > at) ?? spans.at(-1)!;
  return Math.min(Math.max(at, span[0]), Math.max(span[0], span[1] - 1));
}

/** ms before the moment that is watched at which its list begins: a step back needs no other list. */
const lead = 60_000;

/** The address of the recording's list beside the live one's, from a whole minute on: so caches share it. */
export function listFrom(live: string, from: number): string {
  return new URL(`dvr.m3u8?from=${Math.floor((from - lead) / 60_000) * 60}`, live).href;
}

/** A fragment of a playlist, as hls.js knows it: seconds on the media's clock, and the date of its beginning. */
export interface Fragment {
  start: number;
  duration: number;
  programDateTime: number | null;
}

/** Where a moment is on the media's clock, in seconds; undefined if the playlist begins later or ends before. */
export function placeOf(fragments: readonly Fragment[], at: number): number | undefined {
  for (const f of fragments) {
    if (f.programDateTime === null || at >= f.programDateTime + f.duration * 1000) continue;
    if (at >= f.programDateTime) return f.start + (at - f.programDateTime) / 1000;
    return f === fragments[0] ? undefined : f.start; // a hole: where it goes on
  }
  return undefined;
}

/** The fragments of a media playlist's text. */
export function fragmentsOf(playlist: string): Fragment[] {
  const all: Fragment[] = [];
  let date: number | null = null;
  let start = 0;
  for (const [, key, value] of playlist.matchAll(/^#(EXT-X-PROGRAM-DATE-TIME|EXTINF):([^,\r\n]*)/gm)) {
    if (key !== 'EXTINF') {
      date = Date.parse(value!);
      continue;
    }
    const duration = Number(value);
    all.push({ start, duration, programDateTime: date });
    start += duration;
    date = null;
  }
  return all;
}

/** A media playlist that is to be begun at a moment: hls.js would begin a live one at its end. Another text is left as it is. */
export function beginAt(playlist: string, at: number): string {
  const place = placeOf(fragmentsOf(playlist), at);
  return place === undefined ? playlist : playlist.replace('#EXTM3U', `#EXTM3U\n#EXT-X-START:TIME-OFFSET=${place.toFixed(3)},PRECISE=YES`);
}

/** ms between two pictures of a time line: few enough moments that viewers share them, and caches too. */
export function stepOf(length: number): number {
  return [2, 5, 10, 20, 30, 60].map((s) => s * 1000).find((s) => s * 150 >= length) ?? 120_000;
}
