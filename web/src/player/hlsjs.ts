/** hls.js in a module of its own: it is loaded when somebody plays by HLS, and only then. */
import Hls, { type ErrorData, type HlsConfig, type Loader, type LoaderCallbacks, type LoaderConfiguration, type LoaderContext, type LoaderStats } from 'hls.js';
import type { Ahead, Fetched } from './ahead';
import { follow } from './pace';
import { Steady } from './steady';

export { Hls };

/** hls.js on its way to the first picture. */
export interface Playing {
  hls: Hls;
  /** what ended it before anybody listened */
  failed?: ErrorData;
}

/** What is not as usual. */
export interface Special {
  /** begins with the smallest encoding */
  small?: boolean;
  /** changes the first media playlist, so that it is begun elsewhere */
  edit?(playlist: string): string;
}

/** Plays a playlist into a video. What was fetched ahead is not fetched again. */
export function open(low: boolean, video: HTMLVideoElement, url: string, ahead?: Ahead, { small, edit }: Special = {}): Playing {
  const hls = new Hls({
    ...(ahead && { loader: loaderWith(ahead) }),
    ...(edit && { pLoader: loaderThat(edit) }),
    ...(small && { startLevel: 0 }),
    lowLatencyMode: low,
    maxLiveSyncPlaybackRate: 1, // pace.ts does it
    backBufferLength: 10,
    startFragPrefetch: true,
    testBandwidth: false, // it would load a whole segment and throw it away before the first picture
    liveDurationInfinity: true,
    ...(low && { abrController: Steady, liveSyncOnStallIncrease: 0 }),
    // A demand stream may take 10 s to its first segment.
    manifestLoadPolicy: { default: { maxTimeToFirstByteMs: 12_000, maxLoadTimeMs: 20_000, timeoutRetry: null, errorRetry: null } },
  });
  const playing: Playing = { hls };
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (data.fatal) playing.failed ??= data;
  });
  hls.on(Hls.Events.MANIFEST_PARSED, () => void video.play().catch(() => undefined));
  // The first picture that is there is shown. hls.js would load the segment up to the live edge first, and its own leap there follows anyway.
  hls.on(Hls.Events.BUFFER_APPENDED, function first() {
    if (!video.buffered.length || edit) return;
    hls.off(Hls.Events.BUFFER_APPENDED, first);
    if (video.currentTime < video.buffered.start(0)) video.currentTime = video.buffered.start(0) + 0.001;
  });
  if (!edit) hls.once(Hls.Events.DESTROYING, follow(hls, video, low));
  video.srcObject = null;
  hls.loadSource(url);
  hls.attachMedia(video);
  return playing;
}

/** hls.js's own loader; its type has these as properties. */
declare class XhrLoader implements Loader<LoaderContext> {
  context: LoaderContext | null;
  stats: LoaderStats;
  load(context: LoaderContext, config: LoaderConfiguration, callbacks: LoaderCallbacks<LoaderContext>): void;
  getCacheAge(): number | null;
  abort(): void;
  destroy(): void;
}

/** A loader that has some answers before it is asked. */
function loaderWith(ahead: Ahead): HlsConfig['loader'] {
  const Base = Hls.DefaultConfig.loader as new (config: HlsConfig) => XhrLoader;
  return class extends Base {
    #age: number | null = null;

    override load(context: LoaderContext, config: LoaderConfiguration, callbacks: LoaderCallbacks<LoaderContext>): void {
      const going = context.rangeEnd ? undefined : ahead.take(context.url);
      if (!going) return super.load(context, config, callbacks);
      this.context = context;
      going.then(
        (f) => this.stats && !this.stats.aborted && this.#deliver(f, context, callbacks),
        () => this.stats && !this.stats.aborted && super.load(context, config, callbacks),
      );
    }

    #deliver(f: Fetched, context: LoaderContext, callbacks: LoaderCallbacks<LoaderContext>): void {
      const { stats } = this;
      const now = performance.now(); // as if it had just come: hls.js measures the bandwidth until it has parsed it
      stats.loading = { start: now - f.end, first: now - f.end + f.first, end: now };
      stats.loaded = stats.total = typeof f.body === 'string' ? f.body.length : f.body.byteLength;
      this.#age = f.age;
      callbacks.onProgress?.(stats, context, f.body, null);
      callbacks.onSuccess({ url: f.url, data: f.body, code: 200 }, stats, context, null);
    }

    override getCacheAge(): number | null {
      return this.#age ?? super.getCacheAge();
    }
  };
}

/** A loader of playlists that edits the first media playlist. */
function loaderThat(edit: (playlist: string) => string): HlsConfig['pLoader'] {
  const Base = Hls.DefaultConfig.loader as new (config: HlsConfig) => XhrLoader;
  let edited = false;
  return class extends Base {
    override load(context: LoaderContext, config: LoaderConfiguration, callbacks: LoaderCallbacks<LoaderContext>): void {
      super.load(context, config, {
        ...callbacks,
        onSuccess: (response, ...more) => {
          if (!edited && typeof response.data === 'string' && response.data.includes('#EXTINF')) {
            edited = true;
            response.data = edit(response.data);
          }
          callbacks.onSuccess(response, ...more);
        },
      });
    }
  } as HlsConfig['pLoader'];
}
