import { expect, test } from 'vitest';
import { beat, calm, Pace } from '../src/player/pace';

const place = (ahead: number, behind: number, muted = true) => ({ ahead, behind, muted });

test('who is behind hurries as far as it is not noticed, and not on a nearly empty buffer', () => {
  const rate = (ahead: number, behind: number, muted = true) => new Pace().rate(place(ahead, behind, muted));
  expect(rate(0.3, 0)).toBe(1);
  expect(rate(0.3, 0.2)).toBeCloseTo(1.1);
  expect(rate(3, 3)).toBe(1.25);
  expect(rate(3, 3, false)).toBe(1.08);
  expect(rate(0.19, 3)).toBe(1);
});

test('a nearly empty buffer slows down, and keeps the viewer further behind for a while', () => {
  const pace = new Pace();
  expect(pace.rate(place(0.1, 0, false))).toBe(0.95);
  for (let i = 0; i < 8; i++) expect(pace.rate(place(0.1, 0.1))).toBe(0.85);
  expect(pace.rate(place(0.3, 0.25))).toBe(1); // that far behind is right now
  let rate = 1;
  for (let s = 0; s < 14; s += beat) rate = pace.rate(place(0.3, 0.25));
  expect(rate).toBeGreaterThan(1); // and no longer
  for (let s = 0; s < 60; s += beat) pace.rate(place(0.05, 1));
  expect(pace.rate(place(3, 0.7))).toBeGreaterThan(1); // by half a second at most
});

test('who is seconds behind is not slowed down further', () => {
  expect(new Pace().rate(place(0.05, 2.5))).toBe(1);
});

test('without a known place nothing is done', () => {
  expect(new Pace().rate(place(3, -Infinity))).toBe(1);
  expect(calm(place(3, -Infinity))).toBe(1);
});

test('with whole segments less than a second behind is right', () => {
  expect(calm(place(4, 0.9))).toBe(1);
  expect(calm(place(4, 2))).toBe(1.25);
  expect(calm(place(4, 2, false))).toBe(1.08);
});
