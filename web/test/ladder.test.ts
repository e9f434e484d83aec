import { describe, expect, it } from 'vitest';
import { backoff, failureOf, Ladder, type Failure } from '../src/player/ladder';

const half = () => 0;

describe('the ladder', () => {
  it.each<[Failure, number]>([['unsupported', 1], ['blocked', 1], ['media', 1], ['network', 3], ['broken', 3], ['busy', 3]])('leaves WebRTC after %s, %i times in a row', (why, times) => {
    const l = new Ladder(null, half);
    for (let i = 1; i < times; i++) expect(l.failed(why)).toMatchObject({ do: 'retry', via: 'webrtc' });
    expect(l.failed(why)).toEqual({ do: 'fall', via: 'llhls', because: why });
    expect(l.via).toBe('llhls');
  });

  it('goes down to plain HLS and stays there', () => {
    const l = new Ladder(null, half);
    l.failed('blocked');
    expect(l.failed('media')).toMatchObject({ do: 'fall', via: 'hls' });
    for (let i = 0; i < 20; i++) expect(l.failed('broken')).toMatchObject({ do: 'retry', via: 'hls' });
  });

  it('never climbs by itself', () => {
    const l = new Ladder(null, half);
    l.failed('blocked');
    l.played();
    expect(l.via).toBe('llhls');
  });

  it('keeps to the way that the visitor insists on', () => {
    const l = new Ladder('webrtc', half);
    for (let i = 0; i < 20; i++) expect(l.failed('blocked')).toMatchObject({ do: 'retry', via: 'webrtc' });
    expect(new Ladder('webrtc').failed('unsupported')).toEqual({ do: 'stop', because: 'unsupported' });
  });

  it('forgets failures once it has played', () => {
    const l = new Ladder(null, half);
    for (let i = 0; i < 10; i++) {
      expect(l.failed('broken')).toEqual({ do: 'retry', via: 'webrtc', delay: 0 });
      l.played();
    }
  });

  it('does not go another way to what is denied or missing', () => {
    expect(new Ladder(null).failed('denied')).toEqual({ do: 'stop', because: 'denied' });
    const l = new Ladder(null, half);
    for (let i = 0; i < 9; i++) {
      const step = l.failed('missing');
      expect(step).toMatchObject({ do: 'retry', via: 'webrtc' });
      if (step.do === 'retry') expect(step.delay).toBeGreaterThanOrEqual(3000);
    }
  });

  it('waits as long as a busy server asks, and up to a second more', () => {
    expect(new Ladder(null, half).failed('busy', 7000)).toEqual({ do: 'retry', via: 'webrtc', delay: 7000 });
    expect(new Ladder(null, () => 1).failed('busy', 7000)).toEqual({ do: 'retry', via: 'webrtc', delay: 8000 });
  });
});

it('backs off at once first, then from 0.5 s doubling to 15 s, spread over half of it', () => {
  expect([0, 1, 2, 3, 6, 50].map((n) => backoff(n, () => 1))).toEqual([0, 500, 1000, 2000, 15_000, 15_000]);
  expect(backoff(3, () => 0)).toBe(1000);
});

it.each<[number, Failure]>([[401, 'denied'], [403, 'denied'], [404, 'missing'], [429, 'busy'], [503, 'busy'], [500, 'network'], [400, 'media'], [415, 'media']])('HTTP %i is %s', (status, why) => {
  expect(failureOf(status)).toBe(why);
});
