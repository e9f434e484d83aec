import { expect, it } from 'vitest';
import { chase } from '../src/player/hls';

const at = (latency: number, ahead: number, muted = true) =>
  chase({ latency, targetLatency: 0.36 }, { buffered: { length: 1, start: () => 0, end: () => 10 + ahead }, currentTime: 10, muted });

it.each([
  ['a second behind, unheard', 1.36, 0.9, true, 1.25],
  ['a second behind, heard', 1.36, 0.9, false, 1.08],
  ['a tenth behind', 0.46, 0.4, true, 1.05],
  ['where it should be', 0.36, 0.3, true, 1],
  ['ahead of it', 0.2, 0.3, true, 1],
  ['behind, with nothing to spare', 1.36, 0.1, true, 1],
])('plays %s', (_, latency, ahead, muted, rate) => {
  expect(at(latency, ahead, muted)).toBeCloseTo(rate);
});

it('does not hurry before hls.js knows where to', () => {
  expect(chase({ latency: 5, targetLatency: null }, { buffered: { length: 0, start: () => 0, end: () => 0 }, currentTime: 0, muted: true })).toBe(1);
});
