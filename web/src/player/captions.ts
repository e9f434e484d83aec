/**
 * Captions, drawn by the player itself so that they look alike everywhere and keep clear of its controls.
 *
 * Shown are the text tracks of the video: `<track kind="captions" src="….vtt" srclang label>` inside the element or its video, and what
 * an HLS playlist carries. A track with `data-start` (RFC 3339) counts its cues from that moment of the wall clock; any other from the media's zero.
 */
import type { Captioning } from './menu';

/** ms between two looks at the wall clock for tracks that follow it. */
const lookEvery = 250;

export class Captions {
  #video: HTMLVideoElement;
  #box: HTMLElement;
  #date: () => number;
  #changed: () => void;
  #shown: TextTrack | null = null;
  #last = '';
  #timer: ReturnType<typeof setInterval> | undefined;
  #gone = new AbortController();

  /** @param date when the picture was taken that is shown now, ms since 1970 */
  constructor(host: HTMLElement, video: HTMLVideoElement, box: HTMLElement, date: () => number, changed: () => void) {
    this.#video = video;
    this.#box = box;
    this.#date = date;
    this.#changed = changed;
    for (const t of host.querySelectorAll(':scope > track')) video.append(t);
    const { signal } = this.#gone;
    for (const e of ['addtrack', 'removetrack', 'change']) video.textTracks.addEventListener(e, () => this.#look(), { signal });
    this.#look();
  }

  /** Tracks to choose from. A track that the page marks `default` is shown from the start. */
  get all(): Captioning {
    const tracks = this.#tracks().map(({ track, index }) => ({ index, label: track.label || track.language || String(index + 1) }));
    return { tracks, shown: this.#shown ? [...this.#video.textTracks].indexOf(this.#shown) : -1 };
  }

  #tracks(): { track: TextTrack; index: number }[] {
    return [...this.#video.textTracks].map((track, index) => ({ track, index })).filter(({ track: t }) => t.kind === 'captions' || t.kind === 'subtitles');
  }

  /** Shows a track by its place, none for -1. */
  show(index: number): void {
    this.#take(this.#video.textTracks[index] ?? null);
  }

  /** Shows captions in the language that is spoken here, else the first, or hides them; false if there are none. */
  toggle(language: string): boolean {
    const all = this.#tracks();
    if (!all.length) return false;
    const mine = all.find(({ track }) => track.language.split('-')[0] === language.split('-')[0]) ?? all[0]!;
    this.#take(this.#shown ? null : mine.track);
    return true;
  }

  /** A track that the browser would draw is drawn here instead. */
  #look(): void {
    const tracks = this.#tracks().map(({ track }) => track);
    if (this.#shown && !tracks.includes(this.#shown)) this.#take(null);
    const drawn = tracks.find((t) => t.mode === 'showing');
    if (drawn) this.#take(drawn);
    this.#changed();
  }

  #take(track: TextTrack | null): void {
    if (this.#shown && this.#shown !== track) {
      this.#shown.mode = 'disabled';
      this.#shown.oncuechange = null;
    }
    this.#shown = track;
    clearInterval(this.#timer);
    if (track) {
      track.mode = 'hidden'; // loaded and timed, but not drawn by the browser
      const start = this.#startOf(track);
      if (start === undefined) track.oncuechange = () => this.#draw([...(track.activeCues ?? [])]);
      else this.#timer = setInterval(() => this.#draw(cuesAt([...(track.cues ?? [])], (this.#date() - start) / 1000)), lookEvery);
    }
    this.#draw(track?.activeCues ? [...track.activeCues] : []);
    this.#changed();
  }

  #startOf(track: TextTrack): number | undefined {
    const element = [...this.#video.querySelectorAll('track')].find((t) => t.track === track);
    const start = Date.parse(element?.dataset.start ?? '');
    return Number.isNaN(start) ? undefined : start;
  }

  /** A cue's own markup is WebVTT's, which the browser turns into a handful of harmless elements. */
  #draw(cues: TextTrackCue[]): void {
    const texts = cues.map((c) => (c as VTTCue).text);
    if (texts.join('\n') === this.#last) return;
    this.#last = texts.join('\n');
    this.#box.hidden = !texts.length;
    this.#box.replaceChildren(...cues.map((c) => {
      const line = document.createElement('p');
      line.append((c as VTTCue).getCueAsHTML());
      return line;
    }));
  }

  close(): void {
    this.#gone.abort();
    this.#take(null);
  }
}

/** The cues of a moment. */
export function cuesAt<T extends { startTime: number; endTime: number }>(cues: readonly T[], seconds: number): T[] {
  return cues.filter((c) => c.startTime <= seconds && seconds < c.endTime);
}
