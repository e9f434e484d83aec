/** Plays by HLS: low-latency or plain, by hls.js where Media Source Extensions are, else by the browser itself (Safari on iPhone). */
import type Hls from 'hls.js';
import { failureOf, type Failure } from './ladder';
import type { Figures, Listener, Target, Transport } from './transport';

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
  #bytes = 0;
  #at = performance.now();
  #frames = 0;
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
      // Below 1.05 a viewer who fell behind by a second needs 20 s and more; above, voices sound wrong.
      maxLiveSyncPlaybackRate: low ? 1.08 : 1,
      backBufferLength: 10,
      startFragPrefetch: true,
      liveDurationInfinity: true,
      // A demand stream may take 10 s to its first segment.
      manifestLoadPolicy: { default: { maxTimeToFirstByteMs: 12_000, maxLoadTimeMs: 20_000, timeoutRetry: null, errorRetry: null } },
    });
    this.#hls = hls;
    hls.on(H.Events.MANIFEST_PARSED, () => {
      this.#listener.connected();
      this.#video.play().catch(() => undefined);
    });
    hls.on(H.Events.FRAG_LOADED, (_, data) => (this.#bytes += data.frag.stats.loaded));
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
    this.#video.srcObject = null;
    hls.loadSource(url);
    hls.attachMedia(this.#video);
  }
  #recovered = false;

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

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#video.removeEventListener('error', this.#onError);
    this.#hls?.destroy();
  }
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
