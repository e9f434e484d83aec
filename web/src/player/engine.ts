/**
 * The player without its face: which way plays, what state that is in, when the next is tried. It owns the transport; the
 * element that shows it owns the video.
 */
import { grown, history, nearest, type History } from './dvr';
import { HLS, type EarlyHls, type LoadHls } from './hls';
import { failureOf, Ladder, type Failure, type Step, type Via } from './ladder';
import type { Opening } from './offer';
import type { Choice, Figures, Listener, Plan, Target, Transport, Want } from './transport';
import { WHEP } from './whep';

export type PlayerState = 'connecting' | 'playing' | 'waiting' | 'paused' | 'ended' | 'error';

/** What is to be shown. A new object on every change. */
export interface View {
  state: PlayerState;
  via: Via;
  /** it has played before: the last picture stands while it connects again */
  played: boolean;
  /** ms since 1970 of the last picture that came */
  lastPicture: number;
  figures: Figures;
  /** of the stream, while it is waited for: state and reason as in the API */
  stream?: StreamStatus;
  /** encodings to choose from, and the chosen one */
  choices: Choice[];
  layer: string | null;
  /** the smallest encoding is wanted, whatever the path could carry */
  low: boolean;
  /** only the sound is fetched */
  soundOnly: boolean;
  /** there is sound that can be had alone */
  sound: boolean;
  /** what was recorded, if anything was */
  history: History | null;
  /** the moment that is shown, ms since 1970 by the server's clock; undefined while it is live */
  past?: number;
  /** of playing what was recorded */
  speed: number;
  failure?: Failure;
  /** the server's own words about the failure */
  text?: string;
  /** set after the player went down a step by itself, or back from a recording that cannot be played */
  fell?: { from: Via | 'past'; because: Failure };
}

/** State of a stream as the API tells it. */
export interface StreamStatus {
  state: string;
  reason?: string;
  record?: boolean;
  tracks?: { kind: string; layers: { label: string; height: number }[] }[];
}

export interface EngineOptions {
  video: HTMLVideoElement;
  target: Target;
  wanted: Via | null;
  loadHls: LoadHls;
  /** what the page has begun already: an offer, or hls.js */
  early?: Opening | EarlyHls;
  /** whether anybody could go into the past here */
  timeline: boolean;
  low: boolean;
  changed(view: View): void;
  /** called before the picture may go, so that the last one can be kept */
  freeze(): void;
}

/** ms without a new picture until the stream's state is asked for: three and more pictures of the slowest usual camera. */
const quiet: Record<Via, number> = { webrtc: 1500, llhls: 4000, hls: 8000 };
/** ms without a picture of a stream that is live, by the server's word, until this way counts as failed. */
const deaf: Record<Via, number> = { webrtc: 6000, llhls: 12_000, hls: 20_000 };
/** ms of pause after which the media is no longer fetched. */
const pauseKeeps = 10_000;
/** ms of pause from which on one goes on where one stopped, where that was recorded; after a shorter one it is live again. */
const pauseStays = 4000;
/** ms after which what was recorded is asked for again: it goes on, mostly; of a recording that has just begun nothing is listed yet. */
const historyEvery = 60_000;
const historySoon = 8000;
/** Attempts to play a recorded moment until the player is live again. */
const pastTries = 2;

export class Engine {
  #o: EngineOptions;
  #ladder: Ladder;
  #transport: Transport | null = null;
  #view: View;
  #tick: ReturnType<typeof setInterval> | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #progress = 0;
  #progressAt = 0;
  #asked = 0;
  #attempt = 0;
  #want: Want = { layer: null, height: 0, hidden: false, low: false };
  /** the recorded moment that was opened; null is live */
  #past: number | null = null;
  #pastFailures = 0;
  #soundOnly = false;
  #paused = 0;
  #recorded = false;
  #historyAt = -Infinity;

  constructor(options: EngineOptions) {
    this.#o = options;
    this.#ladder = new Ladder(options.wanted);
    this.#want.low = options.low;
    this.#view = {
      state: 'connecting', via: this.#ladder.via, played: false, lastPicture: 0, figures: {}, choices: [], layer: null,
      low: options.low, soundOnly: false, sound: false, history: null, speed: 1,
    };
  }

  get view(): View {
    return this.#view;
  }

  start(): void {
    this.#tick = setInterval(() => void this.#look(), 1000);
    this.#open(this.#o.early);
  }

  stop(): void {
    clearInterval(this.#tick);
    this.#tick = undefined;
    clearTimeout(this.#again);
    clearTimeout(this.#pause);
    this.#attempt++;
    this.#transport?.close();
    this.#transport = null;
  }

  /** The visitor's choice: a way to insist on, or null for the best that works. */
  choose(wanted: Via | null): void {
    this.#ladder = new Ladder(wanted);
    this.#past = null;
    this.#show({ fell: undefined });
    this.#reopen();
  }

  /** Tries again at once. */
  retry(): void {
    this.#reopen();
  }

  pause(): void {
    if (this.#view.state === 'paused') return;
    this.#paused = this.date();
    if (this.#past !== null) this.#past = this.#paused;
    this.#o.video.pause();
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => {
      this.#o.freeze();
      this.#transport?.close();
      this.#transport = null;
    }, pauseKeeps);
    this.#show({ state: 'paused' });
  }

  resume(): void {
    clearTimeout(this.#pause);
    if (this.#stays()) return this.seek(this.#paused);
    if (!this.#transport) return this.#reopen();
    this.#show({ state: this.#view.played ? 'playing' : 'connecting' });
    this.#progressAt = performance.now();
    this.#o.video.play().catch(() => this.#show({ state: 'paused' }));
  }

  /** Whether what was missed while it paused has been recorded. */
  #stays(): boolean {
    const { history } = this.#view;
    if (this.#past !== null || !history || this.#now() - this.#paused < pauseStays) return false;
    return nearest(grown(history, this.#now()), this.#paused) === this.#paused;
  }

  /** The server's clock. */
  #now(): number {
    return Date.now() + (this.#view.history?.ahead ?? 0);
  }

  /** When the picture was taken that is shown now, ms since 1970 by the server's clock. */
  date(): number {
    const { past, figures, state } = this.#view;
    if (state === 'paused' && this.#paused) return this.#paused;
    return past ?? figures.date ?? this.#now() - (figures.latency ?? 0);
  }

  /** Goes to a recorded moment, or the next one after a hole. */
  seek(at: number): void {
    const { history } = this.#view;
    if (!history) return;
    const to = nearest(grown(history, this.#now()), at);
    clearTimeout(this.#pause);
    this.#pastFailures = 0;
    const there = this.#past !== null && this.#transport?.seek?.(to);
    this.#past = to;
    if (!there) return this.#reopen();
    this.#progress = -1; // it may go on from an earlier place
    this.#progressAt = performance.now();
    this.#show({ state: 'playing', past: to, stream: undefined });
  }

  /** Back to what happens now. */
  live(): void {
    if (this.#past === null && this.#view.state !== 'paused') return;
    this.#past = null;
    this.#reopen();
  }

  speed(rate: number): void {
    this.#show({ speed: rate });
    this.#transport?.speed?.(rate);
  }

  /** Saves data: the smallest encoding, whatever the path could carry. */
  save(low: boolean): void {
    this.#show({ low, layer: null });
    this.look({ low, layer: null });
  }

  /** Fetches the sound without the picture, or both again. */
  listen(soundOnly: boolean): void {
    this.#soundOnly = soundOnly;
    if (this.#past !== null) this.#past = this.date();
    this.#reopen();
  }

  /** Asks what was recorded, if it is long ago that somebody did. */
  async recall(): Promise<void> {
    const { target, timeline } = this.#o;
    if (!timeline || performance.now() - this.#historyAt < (this.#view.history ? historyEvery : historySoon)) return;
    this.#historyAt = performance.now();
    const known = await history(target).catch(() => this.#view.history);
    if (this.#tick !== undefined) this.#show({ history: known });
  }

  /** What the page knows of the stream, if it hears of it: saves the question. */
  told(stream: StreamStatus): void {
    this.#asked = performance.now();
    this.#judge(stream);
  }

  /** The visitor's choice of an encoding, by its id; null leaves it to the way of playing. */
  pick(layer: string | null): void {
    this.#show({ layer });
    this.look({ layer });
  }

  /** How the picture is looked at. Where there is one encoding only, nobody needs to know. */
  look(change: Partial<Want>): void {
    const want = { ...this.#want, ...change };
    if ((Object.keys(want) as (keyof Want)[]).every((k) => want[k] === this.#want[k])) return;
    this.#want = want;
    if (this.#view.choices.length > 1 && this.#view.played) this.#transport?.want(want);
  }

  /** Asks what can be chosen, where nobody has told. */
  async learn(): Promise<void> {
    if (this.#view.via === 'webrtc' && !this.#view.choices.length) await this.#ask(this.#attempt);
  }

  #offer(choices: Choice[]): void {
    if (choices.map((c) => c.id).join() === this.#view.choices.map((c) => c.id).join()) return;
    const layer = choices.some((c) => c.id === this.#want.layer) ? this.#want.layer : null;
    this.#want.layer = layer;
    this.#show({ choices, layer });
    if (choices.length > 1 && this.#view.played) this.#transport?.want(this.#want);
  }

  #show(change: Partial<View>): void {
    this.#view = { ...this.#view, ...change };
    this.#o.changed(this.#view);
  }

  #reopen(): void {
    clearTimeout(this.#again);
    clearTimeout(this.#pause);
    this.#o.freeze();
    this.#transport?.close();
    this.#open();
  }

  #open(early?: Opening | EarlyHls): void {
    const attempt = ++this.#attempt;
    const { video, target } = this.#o;
    const plan: Plan = { from: this.#past, soundOnly: this.#soundOnly, low: this.#want.low };
    const via = plan.from === null ? this.#ladder.via : 'hls';
    this.#progress = 0;
    this.#progressAt = performance.now();
    this.#show({
      state: 'connecting', via, failure: undefined, text: undefined, stream: undefined, figures: {}, choices: [], layer: null,
      past: plan.from ?? undefined, soundOnly: plan.soundOnly,
    });
    this.#want = { ...this.#want, layer: null };
    const listener: Listener = {
      connected: () => (this.#progressAt = performance.now()),
      choices: (all) => this.#offer(all),
      sound: () => this.#view.sound || this.#show({ sound: true }),
      failed: (why, text, retryAfter) => {
        if (attempt === this.#attempt) this.#failed(why, text, retryAfter);
      },
    };
    this.#onPicture(attempt);
    if (via !== 'webrtc') this.#transport = new HLS(via, video, target, listener, this.#o.loadHls, plan, early && 'playing' in early ? early : undefined);
    else if ('RTCPeerConnection' in globalThis) this.#transport = new WHEP(video, target, listener, plan, early && 'pc' in early ? early : undefined);
    else this.#failed('unsupported');
  }

  /** Waits for the first picture of this attempt. */
  #onPicture(attempt: number): void {
    const { video } = this.#o;
    const first = () => {
      if (attempt !== this.#attempt) return;
      this.#ladder.played();
      this.#progressAt = performance.now();
      this.#show({ state: video.paused ? 'paused' : 'playing', played: true, lastPicture: Date.now(), stream: undefined, failure: undefined });
      if (this.#view.choices.length > 1) this.#transport?.want(this.#want);
      this.#transport?.speed?.(this.#view.speed);
      void this.#look();
    };
    if (this.#soundOnly) video.addEventListener('playing', first, { once: true });
    else if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(first);
    else (video as HTMLVideoElement).addEventListener('loadeddata', first, { once: true });
  }

  #failed(why: Failure, text?: string, retryAfter?: number): void {
    this.#transport = null;
    this.#o.freeze();
    if (this.#past !== null) return this.#failedPast(why);
    const from = this.#ladder.via;
    const step: Step = this.#ladder.failed(why, retryAfter);
    switch (step.do) {
      case 'stop':
        return this.#show({ state: 'error', failure: why, text });
      case 'fall':
        this.#show({ fell: { from, because: why } });
        return this.#open();
      case 'retry':
        if (why === 'missing' && this.#view.played) this.#show({ state: 'ended', failure: why, text });
        else if (step.delay > 1000 || why === 'missing' || why === 'unsupported') this.#show({ state: 'error', failure: why, text });
        else this.#show({ state: 'connecting', failure: why, text });
        clearTimeout(this.#again);
        this.#again = setTimeout(() => this.#open(), step.delay);
    }
  }

  /** A recorded moment cannot be played: once more, then live again. */
  #failedPast(why: Failure): void {
    if (++this.#pastFailures < pastTries && why !== 'missing') {
      this.#past = this.#view.past ?? this.#past;
    } else {
      this.#past = null;
      this.#show({ fell: { from: 'past', because: why } });
    }
    this.#open();
  }

  /** Once a second: figures, and whether pictures still come. */
  async #look(): Promise<void> {
    const t = this.#transport;
    const attempt = this.#attempt;
    if (!t || this.#view.state === 'paused') return;
    const figures = await t.figures().catch(() => ({}) as Figures);
    if (attempt !== this.#attempt) return;
    const now = performance.now();
    if (figures.progress !== undefined && figures.progress > this.#progress) {
      this.#progress = figures.progress;
      this.#progressAt = now;
      const back = this.#view.state === 'waiting' && this.#view.played;
      this.#show({ figures, past: this.#past === null ? undefined : (figures.date ?? this.#view.past), lastPicture: Date.now(), ...(back ? { state: 'playing', stream: undefined } : {}) });
      return this.#learnMore();
    }
    this.#show({ figures: { ...figures, fps: 0, latency: undefined } });
    if (now - this.#progressAt > quiet[t.via] && now - this.#asked > 2000) await this.#ask(attempt);
  }

  /** While it plays: what else there is of the stream. */
  async #learnMore(): Promise<void> {
    if (!this.#o.timeline) return;
    if (!this.#asked) await this.#ask(this.#attempt);
    else if (this.#recorded) await this.recall();
  }

  async #ask(attempt: number): Promise<void> {
    const { server, stream, token } = this.#o.target;
    this.#asked = performance.now();
    const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
    const r = await fetch(`${server}/api/v1/streams/${stream}`, { headers }).catch(() => null);
    if (attempt !== this.#attempt) return;
    if (!r) return this.#judge(null);
    if (r.ok) return this.#judge(await r.json());
    if (r.status === 404 && this.#transport) this.#transport.close(), this.#failed(failureOf(404));
  }

  /** What can be had of the stream besides its live picture. */
  #know(stream: StreamStatus): void {
    const sound = stream.tracks?.some((t) => t.kind === 'audio') ?? false;
    if (sound !== this.#view.sound && stream.tracks?.length) this.#show({ sound });
    if (stream.record !== undefined) this.#recorded = stream.record;
    if (this.#recorded && !this.#view.history) void this.recall();
  }

  /** Decides between waiting for the camera and giving this way up. null: the server does not say. */
  #judge(stream: StreamStatus | null): void {
    const t = this.#transport;
    if (!t || this.#view.state === 'paused') return;
    if (stream) this.#know(stream);
    if (t.via === 'webrtc' && stream?.tracks) this.#offer(choicesOf(stream));
    const silent = performance.now() - this.#progressAt;
    const live = stream?.state === 'live' || stream?.state === 'degraded';
    if (stream && !live) {
      if (silent > quiet[t.via] || !this.#view.played) this.#show({ state: 'waiting', stream });
      return;
    }
    if (silent <= deaf[t.via]) return;
    t.close();
    this.#failed(this.#progress > 0 ? 'broken' : 'media');
  }
}

/** The encodings of a stream's picture, best first, as its labels. */
function choicesOf(stream: StreamStatus): Choice[] {
  const video = stream.tracks?.find((t) => t.kind === 'video');
  return (video?.layers ?? []).map((l) => ({ id: l.label, height: l.height }));
}
