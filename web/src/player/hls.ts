/** Plays by HLS: low-latency or plain, by hls.js where Media Source Extensions are, else by the browser itself (Safari on iPhone). */
import type Hls from 'hls.js';
import type { ErrorData } from 'hls.js';
import { playlist } from './address';
import { beginAt, listFrom, placeOf } from './dvr';
import type { open, Playing } from './hlsjs';
import { failureOf, type Failure } from './ladder';
import type { Figures, Listener, Plan, Target, Transport, Want } from './transport';

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
  #begun = false;
  #layer: string | null = null;
  #plan: Plan;
  #minted: boolean;
  #onError = () => this.#fail('media');

  constructor(via: 'llhls' | 'hls', video: HTMLVideoElement, target: Target, listener: Listener, load: LoadHls, plan: Plan, early?: EarlyHls) {
    this.via = via;
    this.#video = video;
    this.#listener = listener;
    this.#plan = plan;
    this.#minted = target.token !== null;
    if (video.srcObject) video.srcObject = null; // pictures of another way that still come would be taken for this one's
    this.#start(target, load, early).catch((e) => this.#fail('network', String(e?.message ?? e)));
  }

  async #start(target: Target, load: LoadHls, early?: EarlyHls): Promise<void> {
    const begun = await early?.playing.catch(() => undefined);
    if (begun) return this.#follow((await load()).Hls, begun);
    const { from } = this.#plan;
    const [live, module] = await Promise.all([playlist(target), 'MediaSource' in window || 'ManagedMediaSource' in window ? load() : undefined]);
    if (this.#closed) return;
    if (typeof live !== 'string') return this.#fail(live.failure, undefined, live.retryAfter);
    const url = from === null ? live : listFrom(live, from);
    const special = { small: this.#plan.low, edit: from === null ? undefined : (text: string) => beginAt(text, from) };
    if (module?.Hls.isSupported()) return this.#follow(module.Hls, module.open(this.via === 'llhls', this.#video, url, undefined, special));
    if (this.#video.canPlayType('application/vnd.apple.mpegurl')) return this.#native(url);
    this.#fail('unsupported');
  }

  #native(url: string): void {
    this.#video.src = url;
    this.#video.addEventListener('error', this.#onError);
    this.#video.addEventListener('loadedmetadata', () => {
      if (this.#closed) return;
      this.#listener.connected();
      if (this.#plan.from !== null) this.seek(this.#plan.from);
    }, { once: true });
    this.#video.play().catch(() => undefined);
  }

  #follow(H: typeof Hls, playing: Playing): void {
    const { hls } = playing;
    if (this.#closed) return hls.destroy();
    this.#hls = hls;
    if (hls.levels.length) this.#parsed(hls);
    hls.on(H.Events.MANIFEST_PARSED, () => this.#parsed(hls));
    hls.once(H.Events.FRAG_BUFFERED, () => (this.#begun = true));
    const failed = (data: ErrorData) => {
      if (!data.fatal) return;
      if (data.type === H.ErrorTypes.MEDIA_ERROR && !this.#recovered) {
        this.#recovered = true;
        return hls.recoverMediaError();
      }
      const status = data.response?.code ?? 0;
      const why: Failure = data.type === H.ErrorTypes.NETWORK_ERROR ? (status >= 400 ? failureOf(status) : 'network') : 'media';
      // An address with a token of its own is good for some hours: whoever opens anew gets another.
      this.#fail(why === 'denied' && this.#minted && this.#begun ? 'broken' : why, data.details);
    };
    hls.on(H.Events.ERROR, (_, data) => failed(data));
    if (playing.failed) return failed(playing.failed);
  }

  #parsed(hls: Hls): void {
    const sound = hls.allAudioTracks[0]?.url;
    if (sound && this.#plan.soundOnly) {
      this.#plan.soundOnly = false; // it is the whole list now
      return hls.loadSource(sound);
    }
    this.#listener.connected();
    if (sound) this.#listener.sound?.();
    const pictures = hls.levels.filter((l) => l.height);
    this.#listener.choices?.(pictures.map((l) => ({ id: String(hls.levels.indexOf(l)), height: l.height })));
    if (this.#plan.low) hls.autoLevelCapping = 0;
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
      date: this.#date(),
      progress: this.#video.currentTime,
      bitrate: level?.bitrate,
      codec: (level?.videoCodec ?? level?.audioCodec)?.replace(/\..*/, ''),
    };
    this.#at = now;
    this.#frames = frames;
    return f;
  }

  #date(): number | undefined {
    return this.#hls ? this.#hls.playingDate?.getTime() : nativeDate(this.#video);
  }

  seek(at: number): boolean {
    const v = this.#video;
    const place = this.#hls ? placeOf(this.#hls.latestLevelDetails?.fragments ?? [], at) : nativePlace(v, at);
    if (this.#plan.from === null || place === undefined) return false;
    v.currentTime = place;
    v.play().catch(() => undefined);
    return true;
  }

  speed(rate: number): void {
    if (this.#plan.from !== null) this.#video.playbackRate = rate;
  }

  /** hls.js's own cap by the player's size throws the buffer away when that grows, which stops low latency for a segment. */
  want(want: Want): void {
    const hls = this.#hls;
    if (!hls?.levels.length) return;
    const { least, most } = limits(hls.levels, want);
    hls.autoLevelCapping = most;
    hls.config.minAutoBitrate = hls.levels[least]!.maxBitrate;
    if (this.via === 'hls' && want.layer !== this.#layer) hls.nextLevel = want.layer === null ? -1 : least;
    this.#layer = want.layer;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#video.removeEventListener('error', this.#onError);
    this.#hls?.destroy();
    this.#video.playbackRate = 1; // of a recording; follow() has seen to its own
  }
}

/** The encodings, by number, between which the bandwidth decides; -1 is any. Of those that are larger than the picture on the screen one is enough. */
export function limits(levels: readonly { height: number }[], { layer, height, low }: Pick<Want, 'layer' | 'height' | 'low'>): { least: number; most: number } {
  if (layer !== null) return { least: Number(layer), most: Number(layer) };
  if (low) return { least: 0, most: 0 };
  return { least: 0, most: height ? levels.findIndex((l) => l.height >= height) : -1 };
}

/** ms since 1970 of the media's zero: only Safari tells. */
function nativeZero(video: HTMLVideoElement): number | undefined {
  const zero = (video as HTMLVideoElement & { getStartDate?(): Date }).getStartDate?.().getTime();
  return zero && zero > 0 ? zero : undefined;
}

function nativeDate(video: HTMLVideoElement): number | undefined {
  const zero = nativeZero(video);
  return zero && zero + video.currentTime * 1000;
}

function nativeLatency(video: HTMLVideoElement): number | undefined {
  const date = nativeDate(video);
  return date && Math.round(Date.now() - date);
}

/** Where a moment is in what the browser can seek to; undefined if it is not in it. */
function nativePlace(video: HTMLVideoElement, at: number): number | undefined {
  const zero = nativeZero(video);
  const place = zero && (at - zero) / 1000;
  const { seekable } = video;
  return place && seekable.length && place >= seekable.start(0) && place <= seekable.end(seekable.length - 1) ? place : undefined;
}
