import { expect, test } from 'vitest';
import { Bandwidth, next } from '../src/player/steady';

const rungs = [200_000, 500_000, 1_200_000];

test('a rung is left when it takes more than two thirds of the network, for one that does not', () => {
  expect(next(rungs, 2, 2_000_000)).toBe(2);
  expect(next(rungs, 2, 1_800_000)).toBe(1);
  expect(next(rungs, 2, 400_000)).toBe(0);
  expect(next(rungs, 0, 10_000)).toBe(0);
});

test('a higher rung is taken only with twice its bandwidth, so that nobody swings', () => {
  expect(next(rungs, 1, 2_300_000)).toBe(1);
  expect(next(rungs, 1, 2_400_000)).toBe(2);
  expect(next(rungs, 0, 2_400_000)).toBe(2);
  for (let bandwidth = 100_000; bandwidth < 4_000_000; bandwidth += 50_000) {
    const there = next(rungs, 1, bandwidth);
    expect(next(rungs, there, bandwidth)).toBe(there);
  }
});

test('one rung is always the next', () => {
  expect(next([5_000_000], 0, 1)).toBe(0);
});

/** Parts over a network of so many bits a second and so much delay, as a browser sees them: small ones come with their first byte. */
function measured(bandwidth: number, delay: number, sizes: number[]): number {
  const b = new Bandwidth();
  for (const bytes of sizes) {
    const took = delay + (8000 * bytes) / bandwidth;
    b.add(bytes, took, bytes < 4000 ? took - 1 : delay + 1);
  }
  return b.estimate;
}

test('large and small parts tell the same bandwidth', () => {
  expect(new Bandwidth().estimate).toBe(0);
  expect(measured(2_000_000, 20, [18_000, 17_000, 26_000, 15_000])).toBeCloseTo(2_000_000, -5);
  const small = measured(700_000, 20, [3000, 3100, 900, 3900, 2900]);
  expect(small).toBeGreaterThan(500_000);
  expect(small).toBeLessThan(1_100_000);
});

test('what came long ago is forgotten', () => {
  const b = new Bandwidth();
  for (let i = 0; i < 20; i++) b.add(10_000, 30, 20);
  expect(b.estimate).toBeCloseTo(8_000_000, -3);
  for (let i = 0; i < Bandwidth.parts; i++) b.add(10_000, 220, 20);
  expect(b.estimate).toBeCloseTo(400_000, -3);
});
