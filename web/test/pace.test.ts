import { expect, test } from 'vitest';
import { beat, calm, Pace } from '../src/player/pace';

const place = (ahead: number, behind: number, muted = true) => ({ ahead, behind, muted });

/** One whose beginning is over. */
function settled(): Pace {
  const pace = new Pace();
  for (let s = 0; s < 3; s += beat) pace.rate(place(0.3, 0));
  return pace;
}

test('who is behind hurries as far as it is not noticed, and not on a nearly empty buffer', () => {
  const rate = (ahead: number, behind: number, muted = true) => settled().rate(place(ahead, behind, muted));
  expect(rate(0.3, 0)).toBe(1);
  expect(rate(0.3, 0.2)).toBeCloseTo(1.2);
  expect(rate(3, 3)).toBe(1.25);
  expect(rate(3, 3, false)).toBe(1.08);
  expect(rate(0.19, 3)).toBe(1);
});

test('a nearly empty buffer slows down, and keeps the viewer further behind for a while', () => {
  const pace = settled();
  expect(pace.rate(place(0.1, 0, false))).toBe(0.95);
  for (let i = 0; i < 20; i++) expect(pace.rate(place(0.1, 0.1))).toBe(0.85);
  expect(pace.rate(place(0.3, 0.25))).toBe(1); // that far behind is right now
  let rate = 1;
  for (let s = 0; s < 14; s += beat) rate = pace.rate(place(0.3, 0.25));
  expect(rate).toBeGreaterThan(1); // and no longer
  for (let s = 0; s < 60; s += beat) pace.rate(place(0.05, 1));
  expect(pace.rate(place(3, 0.7))).toBeGreaterThan(1); // by half a second at most
});

test('at the beginning who hears nothing runs to the present, not beyond it and not into an empty buffer', () => {
  const pace = new Pace();
  let behind = 3, ahead = 3.3, seconds = 0;
  for (; behind > 0.1; seconds += beat) {
    const rate = pace.rate(place(ahead, behind));
    expect(rate).toBeLessThanOrEqual(8);
    behind -= (rate - 1) * beat;
    ahead -= (rate - 1) * beat;
    expect(behind).toBeGreaterThan(0);
    expect(ahead).toBeGreaterThan(0.15);
  }
  expect(seconds).toBeLessThan(0.8);
  expect(new Pace().rate(place(0.3, 3))).toBeCloseTo(2); // with what there is
  expect(new Pace().rate(place(0.1, 3))).toBe(1);
  expect(new Pace().rate(place(3, 3, false))).toBe(1.08);
});

test('far behind a leap is less noticed than a haste, but for a beginning that is not heard', () => {
  expect(new Pace().leaps(place(3, 2))).toBe(false);
  expect(new Pace().leaps(place(3, 2, false))).toBe(true);
  expect(settled().leaps(place(3, 2))).toBe(true);
  expect(settled().leaps(place(3, 0.9))).toBe(false);
  expect(settled().leaps(place(0.5, 2))).toBe(false);
});

test('who is seconds behind is not slowed down further', () => {
  expect(settled().rate(place(0.05, 2.5))).toBe(1);
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
