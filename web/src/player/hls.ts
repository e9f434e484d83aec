/** Plays by HLS: low-latency or plain, by hls.js where Media Source Extensions are, else by the browser itself (Safari on iPhone). */
import type Hls from 'hls.js';
import { failureOf, type Failure } from './ladder';
import type { Figures, Listener, Target, Transport, Want } from './transport';

/** Where hls.js comes from: the pages' own chunk, or on foreign pages a module of the server. */
export type LoadHls = () => Promise<{ Hls: typeof Hls }>;

/** Answer of POST /api/v1/streams/{s}/play. */
interface Play {
  urls?: { hls?: string };
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
  #begun = false;
  #pace: ReturnType<typeof setInterval> | undefined;
  #onError = () => this.#fail('media');

  constructor(via: 'llhls' | 'hls', video: HTMLVideoElement, target: Target, listener: Listener, load: LoadHls) {
    this.via = via;
    this.#video = video;
    this.#listener = listener;
    this.#start(target, load).catch((e) => this.#fail('network', String(e?.message ?? e)));
  }

  async #start(target: Target, load: LoadHls): Promise<void> {
    const [url, module] = await Promise.all([playlist(target), 'MediaSource' in window || 'ManagedMediaSource' in window ? load() : undefined]);
    if (this.#closed) return;
    if (typeof url !== 'string') return this.#fail(url.failure, undefined, url.retryAfter);
    if (module?.Hls.isSupported()) return this.#withHlsJs(module.Hls, url);
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

  #withHlsJs(H: typeof Hls, url: string): void {
    const low = this.via === 'llhls';
    const hls = new H({
      lowLatencyMode: low,
      maxLiveSyncPlaybackRate: 1, // `chase` does it: hls.js only starts with more than a second buffered, which low latency never has
      capLevelToPlayerSize: true,
      backBufferLength: 10,
      startFragPrefetch: true,
      liveDurationInfinity: true,
      // A demand stream may take 10 s to its first segment.
      manifestLoadPolicy: { default: { maxTimeToFirstByteMs: 12_000, maxLoadTimeMs: 20_000, timeoutRetry: null, errorRetry: null } },
    });
    this.#hls = hls;
    hls.on(H.Events.MANIFEST_PARSED, () => {
      this.#listener.connected();
      this.#listener.choices?.(hls.levels.map((l, i) => ({ id: String(i), height: l.height })));
      this.#video.play().catch(() => undefined);
    });
    hls.on(H.Events.ERROR, (_, data) => {
      if (!data.fatal) return;
      if (data.type === H.ErrorTypes.MEDIA_ERROR && !this.#recovered) {
        this.#recovered = true;
        return hls.recoverMediaError();
      }
      const status = data.response?.code ?? 0;
      const why: Failure = data.type === H.ErrorTypes.NETWORK_ERROR ? (status >= 400 ? failureOf(status) : 'network') : 'media';
      this.#fail(why, data.details);
    });
    if (low) this.#pace = setInterval(() => this.#catchUp(hls), 200);
    hls.on(H.Events.BUFFER_APPENDED, () => this.#begin());
    this.#video.srcObject = null;
    hls.loadSource(url);
    hls.attachMedia(this.#video);
  }

  /** Shows the first picture that is there. hls.js would load the segment up to the live edge first, and its own leap there follows anyway. */
  #begin(): void {
    const v = this.#video;
    if (this.#begun || !v.buffered.length) return;
    this.#begun = true;
    if (v.currentTime < v.buffered.start(0)) v.currentTime = v.buffered.start(0) + 0.001;
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

/**
 * The playlist's address. A token never goes into a query: with one, the server is asked for an address that carries a path
 * token of its own.
 */
async function playlist(t: Target): Promise<string | { failure: Failure; retryAfter: number }> {
  const open = `${t.server}/hls/${t.stream}/index.m3u8`;
  if (!t.token) return open;
  const r = await fetch(`${t.server}/api/v1/streams/${t.stream}/play`, { method: 'POST', headers: { Authorization: `Bearer ${t.token}` } });
  if (r.status === 404 || r.status === 405) return open; // the stream is public, or access is open: nothing to mint
  if (!r.ok) return { failure: failureOf(r.status), retryAfter: Number(r.headers.get('Retry-After')) * 1000 || 0 };
  const play: Play = await r.json();
  return play.urls?.hls ? new URL(play.urls.hls, t.server).href : open;
}
