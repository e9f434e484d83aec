/**
 * `<watershed-player stream="river-1">`: plays a stream in one `<video>`, muted at first, by WebRTC, else LL-HLS, else HLS.
 *
 * Attributes: `stream`; `server`, the origin to play from (this page's if absent); `via`, to insist on webrtc, llhls or hls;
 * `token`; `lang`; `controls="none"` for the bare picture; `fit="cover"`. Where a stream is recorded there is a time line, by the
 * wall clock; `seek(ms since 1970)` and `live()` are its methods. A `<track kind="captions" src="….vtt" srclang="en">` inside gives captions; with
 * `data-start="2026-11-20T10:00:00Z"` its times count from that moment. Style them by `::part(captions)`. Set `status` to what the page
 * knows of the stream's state. The event `change` (detail: View) tells every change. The video is a child of the element, so that pages and
 * tools reach it; the controls are in a shadow root. Keys are listed when `?` is pressed.
 */
import { Captions } from './captions';
import { Engine, type StreamStatus, type View } from './engine';
import { Face } from './face';
import type { EarlyHls, LoadHls } from './hls';
import { press, type KeyActions } from './keys';
import { ways, type Via } from './ladder';
import type { Opening } from './offer';
import { keepPref, pref } from './prefs';
import { Thumbs } from './thumbs';
import type { Target } from './transport';
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
    #captions: Captions | undefined;
    #thumbs: Thumbs | undefined;
    #poster = '';
    #keys: KeyActions = {
      toggle: () => this.#toggle(),
      mute: () => this.#mute(),
      fullscreen: () => this.#fullscreen(),
      captions: () => this.#caption(),
      live: () => this.live(),
      nudge: (ms) => !this.#bare && (this.#face?.nudge(ms) ?? false),
      volume: (by) => this.#louder(by),
      help: () => void (this.#bare || this.#face?.help()),
      escape: () => this.#face?.escape() ?? false,
    };
    #abort: AbortController | undefined;

    connectedCallback(): void {
      this.#wanted = viaOf(this.getAttribute('via'));
      this.#face ??= this.#dress();
      this.#abort = new AbortController();
      const { signal } = this.#abort;
      const face = this.#face;
      this.#captions = new Captions(this, this.#video!, face.captions, () => this.#engine?.date() ?? Date.now(), () => this.#captions && face.caption(this.#captions.all));
      face.caption(this.#captions.all);
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
      this.#stop();
      this.#captions?.close();
      this.#captions = undefined;
      this.#face?.rest();
      this.#engine = null;
    }

    attributeChangedCallback(name: string, old: string | null, value: string | null): void {
      if (!this.#engine || old === value) return;
      if (name === 'lang') return this.#face?.speak(this.#words());
      if (name === 'via') return this.choose(viaOf(value));
      this.#stop();
      this.#start();
    }

    get #bare(): boolean {
      return this.getAttribute('controls') === 'none';
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

    /** Goes to a recorded moment, ms since 1970, or the next one after a hole. */
    seek(at: number): void {
      this.#engine?.seek(at);
    }

    /** Back to what happens now. */
    live(): void {
      this.#engine?.live();
    }

    /** Does what a key stands for, for a page that hands on what nobody else has taken. True if it stands for something. */
    press(e: KeyboardEvent): boolean {
      return press(e, this.#keys);
    }

    #dress(): Face {
      const video = (this.#video = this.querySelector('video') ?? this.appendChild(document.createElement('video')));
      video.muted = video.autoplay = video.playsInline = true;
      video.setAttribute('muted', '');
      video.disableRemotePlayback = true;
      if (!this.hasAttribute('tabindex') && !this.#bare) this.tabIndex = 0;
      const face = new Face(this.attachShadow({ mode: 'open' }), video, this.#words(), {
        toggle: () => this.#toggle(),
        mute: () => this.#mute(),
        fullscreen: () => this.#fullscreen(),
        pip: () => void (document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture()).catch(() => undefined),
        retry: () => this.#engine?.retry(),
        choose: (via) => this.choose(via),
        pick: (layer) => this.#engine?.pick(layer),
        save: (low) => (keepPref('low', low), this.#engine?.save(low)),
        listen: (soundOnly) => {
          if (soundOnly && video.muted) this.#mute();
          this.#engine?.listen(soundOnly);
        },
        speed: (rate) => this.#engine?.speed(rate),
        caption: (index) => this.#captions?.show(index),
        captions: () => void this.#caption(),
        learn: () => void this.#engine?.learn(),
        seek: (at) => this.seek(at),
        live: () => this.live(),
        picture: (at, show) => this.#thumbs?.want(at, show),
      });
      video.addEventListener('volumechange', () => face.sound());
      this.addEventListener('keydown', (e) => this.press(e) && e.preventDefault());
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
      const target: Target = { server, stream, token };
      this.#showPoster(`${server}/api/v1/streams/${stream}/snapshot`, token);
      this.#thumbs = new Thumbs(target);
      this.#engine = new Engine({
        video: this.#video,
        target,
        timeline: !this.#bare,
        low: pref('low', saving()),
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

    #stop(): void {
      this.#engine?.stop();
      this.#thumbs?.close();
      if (this.#poster) URL.revokeObjectURL(this.#poster);
      this.#poster = '';
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
        .then((b) => this.isConnected && token === (this.getAttribute('token') ?? around.token()) && (video.poster = this.#poster = URL.createObjectURL(b)))
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

    #caption(): boolean {
      const face = this.#face!;
      if (!this.#captions?.toggle(this.#words().lang)) return false;
      face.toast(this.#words()(this.#captions.all.shown < 0 ? 'captions.off' : 'captions.on'));
      return true;
    }

    #louder(by: number): void {
      const video = this.#video!;
      video.volume = Math.min(1, Math.max(0, (video.muted ? 0 : video.volume) + by));
      video.muted = video.volume === 0;
      this.#face?.toast(this.#words()('volume', { n: Math.round(video.volume * 100) }));
    }
  };
}

/** The browser was told to save data. */
function saving(): boolean {
  return (navigator as { connection?: { saveData?: boolean } }).connection?.saveData ?? false;
}

/** What the page's head has begun already, if it is for this address; it can be had once. */
function adopt(url: string): Opening | EarlyHls | undefined {
  const w = window as { watershedOpening?: Opening | EarlyHls };
  const early = w.watershedOpening;
  if (early?.url !== url) return undefined;
  w.watershedOpening = undefined;
  return early;
}
