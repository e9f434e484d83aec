/** Plays by HLS: low-latency or plain, by hls.js where Media Source Extensions are, else by the browser itself (Safari on iPhone). */
import type Hls from 'hls.js';
import type { ErrorData } from 'hls.js';
import { playlist } from './address';
import type { open, Playing } from './hlsjs';
import { failureOf, type Failure } from './ladder';
import type { Figures, Listener, Target, Transport, Want } from './transport';

/** Where hls.js comes from: the pages' own chunk, or on foreign pages a module of the server. */
export type LoadHls = () => Promise<{ Hls: typeof Hls; open: typeof open }>;

/** What the page's head has begun already. It rejects, or has nothing, where that did not work: then it is begun again. */
export interface EarlyHls {
  url: string;
  playing: Promise<Playing | undefined>;
}

export class HLS implements Transport {
  readonly via: 'llhls' | 'hls';
  #video: HTMLVideoElement;
  #listener: Listener;
  #hls: Hls | undefined;
  #closed = false;
  #at = performance.now();
  #frames = 0;
  #recovered = false;
  #pace: ReturnType<typeof setInterval> | undefined;
  #onError = () => this.#fail('media');

  constructor(via: 'llhls' | 'hls', video: HTMLVideoElement, target: Target, listener: Listener, load: LoadHls, early?: EarlyHls) {
    this.via = via;
    this.#video = video;
    this.#listener = listener;
    this.#start(target, load, early).catch((e) => this.#fail('network', String(e?.message ?? e)));
  }

  async #start(target: Target, load: LoadHls, early?: EarlyHls): Promise<void> {
    const begun = await early?.playing.catch(() => undefined);
    if (begun) return this.#follow((await load()).Hls, begun);
    const [url, module] = await Promise.all([playlist(target), 'MediaSource' in window || 'ManagedMediaSource' in window ? load() : undefined]);
    if (this.#closed) return;
    if (typeof url !== 'string') return this.#fail(url.failure, undefined, url.retryAfter);
    if (module?.Hls.isSupported()) return this.#follow(module.Hls, module.open(this.via === 'llhls', this.#video, url));
    if (this.#video.canPlayType('application/vnd.apple.mpegurl')) return this.#native(url);
    this.#fail('unsupported');
  }

  #native(url: string): void {
    this.#video.srcObject = null;
    this.#video.src = url;
    this.#video.addEventListener('error', this.#onError);
    this.#video.addEventListener('loadedmetadata', () => this.#listener.connected(), { once: true });
    this.#video.play().catch(() => undefined);
  }

  #follow(H: typeof Hls, playing: Playing): void {
    const { hls } = playing;
    if (this.#closed) return hls.destroy();
    this.#hls = hls;
    const parsed = () => {
      this.#listener.connected();
      this.#listener.choices?.(hls.levels.map((l, i) => ({ id: String(i), height: l.height })));
    };
    if (hls.levels.length) parsed();
    hls.on(H.Events.MANIFEST_PARSED, parsed);
    const failed = (data: ErrorData) => {
      if (!data.fatal) return;
      if (data.type === H.ErrorTypes.MEDIA_ERROR && !this.#recovered) {
        this.#recovered = true;
        return hls.recoverMediaError();
      }
      const status = data.response?.code ?? 0;
      const why: Failure = data.type === H.ErrorTypes.NETWORK_ERROR ? (status >= 400 ? failureOf(status) : 'network') : 'media';
      this.#fail(why, data.details);
    };
    hls.on(H.Events.ERROR, (_, data) => failed(data));
    if (playing.failed) return failed(playing.failed);
    if (this.via === 'llhls') this.#pace = setInterval(() => this.#catchUp(hls), 200);
  }

  /** More than a second behind, as after a start in the middle of a long segment, one leap is less noticed than a long haste. */
  #catchUp(hls: Hls): void {
    const v = this.#video;
    const behind = hls.latency - (hls.targetLatency ?? Infinity);
    const last = v.buffered.length - 1;
    if (behind > 1 && !v.seeking && v.readyState > 2 && v.buffered.end(last) - v.currentTime > 0.6) {
      v.currentTime = Math.min(v.currentTime + behind, v.buffered.end(last) - 0.4);
    }
    v.playbackRate = chase(hls, v);
  }

  #fail(why: Failure, text?: string, retry?: number): void {
    if (this.#closed) return;
    this.close();
    this.#listener.failed(why, text, retry);
  }

  async figures(): Promise<Figures> {
    const now = performance.now();
    const seconds = (now - this.#at) / 1000;
    const frames = this.#video.getVideoPlaybackQuality?.().totalVideoFrames ?? 0;
    const level = this.#hls?.levels[this.#hls.currentLevel];
    const f: Figures = {
      latency: this.#hls?.latency ? Math.round(this.#hls.latency * 1000) : nativeLatency(this.#video),
      width: this.#video.videoWidth,
      height: this.#video.videoHeight,
      fps: Math.round((frames - this.#frames) / seconds),
      progress: this.#video.currentTime,
      bitrate: level?.bitrate,
      codec: level?.videoCodec?.replace(/\..*/, ''),
    };
    this.#at = now;
    this.#frames = frames;
    return f;
  }

  /** The size is hls.js's own business, by capLevelToPlayerSize. */
  want({ layer }: Want): void {
    if (this.#hls) this.#hls.nextLevel = layer === null ? -1 : Number(layer);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#video.removeEventListener('error', this.#onError);
    clearInterval(this.#pace);
    this.#video.playbackRate = 1;
    this.#hls?.destroy();
  }
}

/**
 * The speed that brings a low-latency viewer back to where the playlist's hold-back wants them: after the start, or a stall, they
 * are up to a segment behind. Heard, more than 8 % sounds wrong; unheard, a quarter passes unnoticed. Nothing is gained
 * from less than 0.2 s in the buffer but another stall.
 */
export function chase(hls: Pick<Hls, 'latency' | 'targetLatency'>, video: Pick<HTMLVideoElement, 'buffered' | 'currentTime' | 'muted'>): number {
  const behind = hls.latency - (hls.targetLatency ?? Infinity);
  const last = video.buffered.length - 1;
  const ahead = last < 0 ? 0 : video.buffered.end(last) - video.currentTime;
  if (behind < 0.06 || ahead < 0.2) return 1;
  return 1 + Math.min(video.muted ? 0.25 : 0.08, behind / 2);
}

/** Only Safari tells the date of its playlist's start. */
function nativeLatency(video: HTMLVideoElement): number | undefined {
  const start = (video as HTMLVideoElement & { getStartDate?(): Date }).getStartDate?.().getTime();
  return start && start > 0 ? Math.round(Date.now() - start - video.currentTime * 1000) : undefined;
}
