import { describe, expect, it } from 'vitest';
import { fit } from '../src/room/layout';
import { inView, recall } from '../src/room/speaking';
import { assign, type Slot } from '../src/room/slots';

describe('tiles', () => {
  it.each([[1, 1], [2, 2], [3, 2], [4, 2], [5, 3], [6, 3], [9, 3], [12, 4]])('%i in a wide box stand in %i columns', (n, columns) => {
    expect(fit(n, 1400, 780, 10).columns).toBe(columns);
  });

  it.each([[1, 1], [2, 1], [3, 1], [4, 2], [6, 2]])('%i on a phone stand in %i columns', (n, columns) => {
    expect(fit(n, 370, 640, 10).columns).toBe(columns);
  });

  it('fit in their box, whatever it is', () => {
    for (let n = 1; n < 40; n++) {
      for (const [w, h] of [[1400, 780], [370, 640], [800, 200], [200, 800]] as const) {
        const g = fit(n, w, h, 10);
        expect(g.columns * g.width + (g.columns - 1) * 10).toBeLessThanOrEqual(w);
        const rows = Math.ceil(n / g.columns);
        expect(rows * g.height + (rows - 1) * 10).toBeLessThanOrEqual(h);
      }
    }
  });

  it('have no size in no box', () => {
    expect(fit(3, 0, 0, 10)).toEqual({ columns: 1, width: 0, height: 0 });
  });
});

describe('speakers', () => {
  const people = ['a', 'b', 'c', 'd'].map((user) => ({ user }));
  const seen = (n: number, ...recent: string[]) => inView(people, n, recent).map((p) => p.user).join('');

  it('are all in view where there is room', () => expect(seen(4, 'd')).toBe('abcd'));

  it('take the place of who has not spoken, and nobody else moves', () => {
    expect(seen(3)).toBe('abc');
    expect(seen(3, 'd')).toBe('abd');
    expect(seen(3, 'c', 'd')).toBe('acd');
    expect(seen(2, 'c', 'd', 'a')).toBe('cd');
    expect(seen(0, 'a')).toBe('');
  });

  it('are remembered, the latest first', () => {
    expect(recall(['a', 'b'], ['c', 'b'])).toEqual(['c', 'b', 'a']);
    expect(recall(['a'], [])).toEqual(['a']);
  });
});

describe('slots', () => {
  const pool = (...streams: (string | null)[]): Slot[] => streams.map((stream, i) => ({ mid: String(i), kind: 'video', stream }));
  const want = (...names: string[]) => names.map((stream) => ({ stream, video: true, audio: false }));

  it('stay where they are when others come and go', () => {
    const { pool: next, changed } = assign(pool('a', 'b', 'c'), want('c', 'd', 'a'));
    expect(next.map((s) => s.stream)).toEqual(['a', 'd', 'c']);
    expect(changed.map((s) => s.mid)).toEqual(['1']);
  });

  it('go to the most wanted when there are too few', () => {
    expect(assign(pool(null, null), want('a', 'b', 'c')).pool.map((s) => s.stream)).toEqual(['a', 'b']);
  });

  it('are emptied when nobody is wanted', () => {
    expect(assign(pool('a', null), []).changed).toEqual([{ mid: '0', kind: 'video', stream: null }]);
  });

  it('keep voices and pictures apart', () => {
    const both: Slot[] = [{ mid: '0', kind: 'video', stream: null }, { mid: '1', kind: 'audio', stream: null }];
    expect(assign(both, [{ stream: 'a', video: false, audio: true }]).pool.map((s) => s.stream)).toEqual([null, 'a']);
  });
});
