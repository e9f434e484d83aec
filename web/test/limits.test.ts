import { expect, test } from 'vitest';
import { limits } from '../src/player/hls';

const levels = [{ height: 360 }, { height: 480 }, { height: 720 }];
const auto = { layer: null, height: 0, low: false };

test('the picture on the screen limits what is fetched', () => {
  expect(limits(levels, auto)).toEqual({ least: 0, most: -1 });
  expect(limits(levels, { ...auto, height: 300 })).toEqual({ least: 0, most: 0 });
  expect(limits(levels, { ...auto, height: 361 })).toEqual({ least: 0, most: 1 });
  expect(limits(levels, { ...auto, height: 1440 })).toEqual({ least: 0, most: -1 });
});

test('who saves data gets the smallest, who chose gets that', () => {
  expect(limits(levels, { ...auto, height: 1440, low: true })).toEqual({ least: 0, most: 0 });
  expect(limits(levels, { layer: '1', height: 100, low: true })).toEqual({ least: 1, most: 1 });
});
