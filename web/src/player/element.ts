/**
 * `<watershed-player stream="river-1">`: plays a stream in one `<video>`, muted at first, by WebRTC, else LL-HLS, else HLS.
 *
 * Attributes: `stream`; `server`, the origin to play from (this page's if absent); `via`, to insist on webrtc, llhls or hls;
 * `token`; `lang`; `controls="none"` for the bare picture; `fit="cover"`. Set `status` to what the page knows of the stream's
 * state. The event `change` (detail: View) tells every change. The video is a child of the element, so that pages and
 * tools reach it; the controls are in a shadow root.
 */
import { Engine, type StreamStatus, type View } from './engine';
import { Face } from './face';
import type { EarlyHls, LoadHls } from './hls';
import { ways, type Via } from './ladder';
import type { Opening } from './offer';
import { wordsFor, type Say } from './words';

/** What the surroundings give: the pages and foreign sites differ in it. */
export interface Surroundings {
  server(): string;
  token(): string | null;
  loadHls: LoadHls;
}

function viaOf(text: string | null): Via | null {
  return ways.includes(text as Via) ? (text as Via) : null;
}

/** Defines the element; a second definition is ignored. */
export function define(around: Surroundings): void {
  if (!customElements.get('watershed-player')) customElements.define('watershed-player', elementFor(around));
}

function elementFor(around: Surroundings) {
  return class WatershedPlayer extends HTMLElement {
    static observedAttributes = ['stream', 'via', 'server', 'token', 'lang'];
    #engine: Engine | null = null;
    #face: Face | undefined;
    #video: HTMLVideoElement | undefined;
    #wanted: Via | null = null;
    #poster = '';
    #abort: AbortController | undefined;

    connectedCallback(): void {
      this.#wanted = viaOf(this.getAttribute('via'));
      this.#face ??= this.#dress();
      this.#abort = new AbortController();
      const { signal } = this.#abort;
      addEventListener('pagehide', () => this.#engine?.stop(), { signal });
      addEventListener('pageshow', (e) => e.persisted && this.#start(), { signal });
      addEventListener('online', () => this.#engine?.view.state === 'error' && this.#engine.retry(), { signal });
      document.addEventListener('visibilitychange', () => this.#engine?.look({ hidden: document.hidden && !document.pictureInPictureElement }), { signal });
      this.#measure(signal);
      document.addEventListener('fullscreenchange', () => this.#face?.full(document.fullscreenElement === this), { signal });
      this.#start();
    }

    disconnectedCallback(): void {
      this.#abort?.abort();
      this.#engine?.stop();
      this.#engine = null;
      if (this.#poster) URL.revokeObjectURL(this.#poster);
    }

    attributeChangedCallback(name: string, old: string | null, value: string | null): void {
      if (!this.#engine || old === value) return;
      if (name === 'lang') return this.#face?.speak(this.#words());
      if (name === 'via') return this.choose(viaOf(value));
      this.#engine.stop();
      this.#start();
    }

    /** What the page knows of the stream: {state, reason}. */
    set status(s: StreamStatus | undefined) {
      if (s) this.#engine?.told(s);
    }

    get view(): View | undefined {
      return this.#engine?.view;
    }

    /** Insists on a way of playing; null takes the best that works. */
    choose(via: Via | null): void {
      this.#wanted = via;
      this.#engine?.choose(via);
    }

    #dress(): Face {
      const video = (this.#video = this.querySelector('video') ?? this.appendChild(document.createElement('video')));
      video.muted = video.autoplay = video.playsInline = true;
      video.setAttribute('muted', '');
      video.disableRemotePlayback = true;
      if (!this.hasAttribute('tabindex') && this.getAttribute('controls') !== 'none') this.tabIndex = 0;
      const face = new Face(this.attachShadow({ mode: 'open' }), video, this.#words(), {
        toggle: () => this.#toggle(),
        mute: () => this.#mute(),
        fullscreen: () => this.#fullscreen(),
        pip: () => void (document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture()).catch(() => undefined),
        retry: () => this.#engine?.retry(),
        choose: (via) => this.choose(via),
        pick: (layer) => this.#engine?.pick(layer),
        learn: () => void this.#engine?.learn(),
      });
      video.addEventListener('volumechange', () => face.sound());
      this.addEventListener('keydown', (e) => this.#key(e));
      this.addEventListener('dblclick', (e) => e.target === video && this.#fullscreen());
      return face;
    }

    #words(): Say {
      return wordsFor(this.getAttribute('lang') || navigator.language);
    }

    #start(): void {
      const stream = this.getAttribute('stream');
      if (!stream || !this.#video || !this.#face) return;
      const face = this.#face;
      const server = (this.getAttribute('server') ?? around.server()).replace(/\/$/, '');
      const token = this.getAttribute('token') ?? around.token();
      this.#showPoster(`${server}/api/v1/streams/${stream}/snapshot`, token);
      this.#engine = new Engine({
        video: this.#video,
        target: { server, stream, token },
        wanted: this.#wanted,
        loadHls: around.loadHls,
        early: adopt(this.#wanted === 'llhls' || this.#wanted === 'hls' ? `${server}/${this.#wanted}/${stream}` : `${server}/whep/${stream}`),
        freeze: () => face.freeze(),
        changed: (view) => {
          face.render(view, this.#wanted);
          this.dispatchEvent(new CustomEvent('change', { detail: view }));
        },
      });
      this.#engine.start();
    }

    /** A picture that needs a token is fetched with it; others the browser loads by itself. */
    #showPoster(url: string, token: string | null): void {
      const video = this.#video!;
      if (!token) {
        if (!video.getAttribute('poster')) video.poster = url;
        return;
      }
      fetch(url, { headers: { Authorization: `Bearer ${token}` } })
        .then((r) => (r.ok ? r.blob() : Promise.reject(r.status)))
        .then((b) => (video.poster = this.#poster = URL.createObjectURL(b)))
        .catch(() => undefined);
    }

    /** Tells how large the picture is, once it has rested: while a window is drawn larger nobody needs another encoding. */
    #measure(signal: AbortSignal): void {
      let rest: ReturnType<typeof setTimeout>;
      const size = new ResizeObserver(([e]) => {
        clearTimeout(rest);
        rest = setTimeout(() => this.#engine?.look({ height: Math.round(e!.contentRect.height * devicePixelRatio) }), 400);
      });
      size.observe(this);
      signal.addEventListener('abort', () => size.disconnect());
    }

    #toggle(): void {
      if (this.#engine?.view.state === 'paused') this.#engine.resume();
      else this.#engine?.pause();
    }

    #mute(): void {
      const video = this.#video!;
      video.muted = !video.muted;
      if (!video.muted && video.volume === 0) video.volume = 1;
    }

    #fullscreen(): void {
      const video = this.#video as HTMLVideoElement & { webkitEnterFullscreen?(): void };
      if (document.fullscreenElement) void document.exitFullscreen();
      else if (this.requestFullscreen) this.requestFullscreen().catch(() => undefined);
      else video.webkitEnterFullscreen?.(); // iPhone: only the video itself can fill the screen
    }

    #key(e: KeyboardEvent): void {
      if (e.ctrlKey || e.metaKey || e.altKey) return;
      const onButton = (e.composedPath()[0] as HTMLElement).localName === 'button';
      const keys: Record<string, () => boolean | void> = {
        ' ': () => !onButton && this.#toggle(),
        'm': () => this.#mute(),
        'f': () => this.#fullscreen(),
        'escape': () => this.#face!.escape(),
      };
      const key = keys[e.key.toLowerCase()];
      if (key && key() !== false) e.preventDefault();
    }
  };
}

/** What the page's head has begun already, if it is for this address; it can be had once. */
function adopt(url: string): Opening | EarlyHls | undefined {
  const w = window as { watershedOpening?: Opening | EarlyHls };
  const early = w.watershedOpening;
  if (early?.url !== url) return undefined;
  w.watershedOpening = undefined;
  return early;
}
