/** The time line: where in a stream's past the picture is, and where it shall go. A slider for pointers, fingers and keys; time is the clock's on the wall. */
import { edge, grown, nearest, stepOf, type History, type Span } from './dvr';
import { clockOf, type Say } from './words';
import { span } from '../i18n/words';

export interface ScrubActions {
  seek(at: number): void;
  live(): void;
  /** fetches a small picture */
  picture(at: number, show: (url: string) => void): void;
}

/** ms of rest after which a key's way counts as where one wants to go: keys come in rows. */
const settles = 400;

export const scrubHTML = `
<div class="scrub" hidden>
  <div class="peek" hidden><img alt="" hidden><b></b><span></span></div>
  <div class="rail" role="slider" tabindex="0"><div class="line"></div><i class="done"></i><i class="knob"></i></div>
</div>`;

export class Scrub {
  #box: HTMLElement;
  #rail: HTMLElement;
  #peek: HTMLElement;
  #say: Say;
  #actions: ScrubActions;
  #history: History | null = null;
  /** of the picture */
  #at = 0;
  /** where the viewer's hand is, while it is not there yet */
  #aim: number | null = null;
  #held = false;
  #settle: ReturnType<typeof setTimeout> | undefined;

  constructor(box: HTMLElement, say: Say, actions: ScrubActions) {
    this.#box = box;
    this.#rail = box.querySelector('.rail')!;
    this.#peek = box.querySelector('.peek')!;
    this.#actions = actions;
    this.#say = say;
    this.speak(say);
    this.#listen();
  }

  speak(say: Say): void {
    this.#say = say;
    this.#rail.ariaLabel = say('timeline');
    this.#draw();
  }

  /** Somebody is about to choose a moment. */
  get busy(): boolean {
    return this.#held || this.#aim !== null;
  }

  /** @param at of the picture that is shown, ms since 1970; undefined while it is live */
  render(history: History | null, at: number | undefined): void {
    if (history?.spans !== this.#history?.spans) this.#spans(history);
    this.#history = history;
    this.#box.hidden = !history;
    this.#at = at ?? this.#now();
    this.#draw();
  }

  /** Goes some ms forth or back from where one is; false without a past. */
  nudge(ms: number): boolean {
    if (!this.#history) return false;
    const to = (this.#aim ?? this.#at) + ms;
    this.#point(to);
    clearTimeout(this.#settle);
    this.#settle = setTimeout(() => this.#go(), settles);
    return true;
  }

  close(): void {
    clearTimeout(this.#settle);
  }

  #now(): number {
    return Date.now() + (this.#history?.ahead ?? 0);
  }

  /** What there is by now. */
  #grown(): readonly Span[] {
    return this.#history ? grown(this.#history, this.#now()) : [];
  }

  #from(): number {
    return this.#history?.spans[0]?.[0] ?? 0;
  }

  /** Draws what there is: holes are where nothing was recorded. */
  #spans(history: History | null): void {
    const line = this.#box.querySelector('.line')!;
    line.replaceChildren(...(history?.spans ?? []).map(() => document.createElement('i')));
  }

  #draw(): void {
    const h = this.#history;
    if (!h) return;
    const now = this.#now();
    const at = Math.min(this.#aim ?? this.#at, now);
    const share = (t: number) => `${((100 * (t - this.#from())) / Math.max(1, now - this.#from())).toFixed(3)}%`;
    const marks = this.#box.querySelectorAll<HTMLElement>('.line i');
    h.spans.forEach(([from, to], i) => {
      marks[i]!.style.left = share(from);
      marks[i]!.style.right = `calc(100% - ${share(h.growing && i === h.spans.length - 1 ? now : to)})`;
    });
    this.#box.style.setProperty('--at', share(at));
    this.#rail.ariaValueMin = '0';
    this.#rail.ariaValueMax = String(Math.round((now - this.#from()) / 1000));
    this.#rail.ariaValueNow = String(Math.round((at - this.#from()) / 1000));
    this.#rail.ariaValueText = this.#words(at);
  }

  #behind(at: number): number {
    return this.#now() - at;
  }

  #words(at: number): string {
    if (this.#behind(at) < edge) return this.#say('state.live');
    return `${clockOf(this.#say, at)}, ${this.#say('behind', { ago: span(this.#behind(at), this.#say) })}`;
  }

  #listen(): void {
    const rail = this.#rail;
    const moment = (e: PointerEvent) => {
      const r = rail.getBoundingClientRect();
      const part = Math.min(1, Math.max(0, (e.clientX - r.left) / r.width));
      return this.#from() + part * (this.#now() - this.#from());
    };
    rail.addEventListener('pointerdown', (e) => {
      if (e.button) return;
      rail.setPointerCapture(e.pointerId);
      this.#held = true;
      this.#point(moment(e));
    });
    rail.addEventListener('pointermove', (e) => {
      if (this.#held) this.#point(moment(e));
      else if (e.pointerType === 'mouse') this.#show(moment(e));
    });
    rail.addEventListener('pointerup', () => this.#held && this.#go());
    rail.addEventListener('pointercancel', () => this.#drop());
    rail.addEventListener('pointerleave', () => !this.busy && (this.#peek.hidden = true));
    rail.addEventListener('keydown', (e) => this.#key(e));
  }

  /** Home and End; the arrows are the player's, wherever the focus is. */
  #key(e: KeyboardEvent): void {
    if (e.key !== 'Home' && e.key !== 'End' && e.key !== 'PageUp' && e.key !== 'PageDown') return;
    e.preventDefault();
    if (e.key === 'PageUp') return void this.nudge(60_000);
    if (e.key === 'PageDown') return void this.nudge(-60_000);
    this.#aim = e.key === 'Home' ? this.#from() : this.#now();
    this.#go();
  }

  /** Aims at a moment, without going there yet. */
  #point(at: number): void {
    this.#aim = Math.min(this.#now(), Math.max(this.#from(), at));
    this.#draw();
    this.#show(this.#aim);
  }

  #go(): void {
    const to = this.#aim;
    this.#drop();
    if (to === null || !this.#history) return;
    if (this.#behind(to) < edge) return this.#actions.live();
    this.#at = nearest(this.#grown(), to);
    this.#draw();
    this.#actions.seek(this.#at);
  }

  #drop(): void {
    clearTimeout(this.#settle);
    this.#aim = null;
    this.#held = false;
    this.#peek.hidden = true;
  }

  /** The clock's time and a small picture above a moment. */
  #show(at: number): void {
    if (!this.#history) return;
    const peek = this.#peek;
    const live = this.#behind(at) < edge;
    peek.hidden = false;
    peek.querySelector('b')!.textContent = live ? this.#say('state.live') : clockOf(this.#say, at);
    peek.querySelector('span')!.textContent = live ? '' : `−${clockSpan(this.#behind(at))}`;
    const r = this.#rail.getBoundingClientRect();
    const x = ((at - this.#from()) / Math.max(1, this.#now() - this.#from())) * r.width;
    const half = peek.offsetWidth / 2;
    peek.style.left = `${Math.min(Math.max(x, half), Math.max(half, r.width - half))}px`;
    this.#picture(at, live);
  }

  #picture(at: number, live: boolean): void {
    const image = this.#peek.querySelector('img')!;
    const spans = this.#grown();
    const step = stepOf(this.#now() - this.#from());
    const moment = Math.floor(nearest(spans, at) / step) * step;
    if (live) image.hidden = true;
    else this.#actions.picture(Math.max(moment, this.#from()), (url) => {
      image.hidden = !url;
      if (url) image.src = url;
    });
  }
}

/** 75_000 is 1:15; 3_700_000 is 1:01:40. */
export function clockSpan(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const [h, m] = [Math.floor(s / 3600), Math.floor(s / 60) % 60];
  return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}
