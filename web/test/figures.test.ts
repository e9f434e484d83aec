import { expect, it } from 'vitest';
import { since } from '../src/player/whep';

const report = (o: Partial<RTCInboundRtpStreamStats>) => o as RTCInboundRtpStreamStats;

it('counts delay, rate and loss between two reports', () => {
  const before = report({ timestamp: 1000, framesDecoded: 100, totalProcessingDelay: 2, packetsReceived: 800, packetsLost: 1, bytesReceived: 1_000_000 });
  const now = report({ timestamp: 2000, framesDecoded: 125, totalProcessingDelay: 2.5, packetsReceived: 998, packetsLost: 3, bytesReceived: 1_250_000, frameWidth: 1280, frameHeight: 720 });
  expect(since(now, before, 0.03)).toMatchObject({ latency: 35, fps: 25, bitrate: 2_000_000, loss: 0.01, width: 1280, height: 720, progress: 125 });
});

it('says no delay while no picture comes', () => {
  const same = report({ timestamp: 2000, framesDecoded: 10, totalProcessingDelay: 1, packetsReceived: 5, packetsLost: 0, bytesReceived: 9 });
  expect(since(same, same, 0.1).latency).toBeUndefined();
});

it('takes the jitter buffer where the browser has no processing delay', () => {
  const before = report({ timestamp: 0, framesDecoded: 0, jitterBufferDelay: 0, jitterBufferEmittedCount: 0 });
  const now = report({ timestamp: 1000, framesDecoded: 25, jitterBufferDelay: 0.5, jitterBufferEmittedCount: 25 });
  expect(since(now, before, 0).latency).toBe(20);
});
