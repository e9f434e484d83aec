/**
 * Keeps a live viewer where the playlist's hold-back wants them, by the speed of playing. After the start, or a stall, they are up to a segment behind; with
 * an unsteady network they are better a little further behind. hls.js itself only hurries with more than a second in the buffer, which low latency never has.
 */
import type Hls from 'hls.js';

/** What the speed depends on, in seconds. */
export interface Place {
  /** of media in the buffer */
  ahead: number;
  /** behind where the playlist wants the viewer */
  behind: number;
  muted: boolean;
}

/** With less in the buffer nothing is gained from haste but a stall, and with less still the viewer goes slower. */
const enough = 0.2;
const scarce = 0.12;

/** Seconds between two looks. */
export const beat = 0.05;

/** A beginning, in seconds of playing: the first picture is its segment's, seconds old, and it may run to the present at such a speed if nobody hears. */
const beginning = 2;
const run = 8;

/**
 * The speeds of low latency. Each time that the buffer was nearly empty the viewer stays some way further behind, and comes nearer again while it is not.
 * Heard, more than 8 % sounds wrong; unheard, a quarter passes unnoticed.
 */
export class Pace {
  #spare = 0;
  #played = 0;

  /** More than a second behind, as after a stall, one leap is less noticed than a long haste. */
  leaps({ ahead, behind, muted }: Place): boolean {
    return behind > 1 && ahead > 0.6 && !this.#runs(muted);
  }

  #runs(muted: boolean): boolean {
    return muted && this.#played < beginning;
  }

  /** One beat on. */
  rate({ ahead, behind, muted }: Place): number {
    this.#played += beat;
    if (this.#runs(muted) && behind > 0.1) {
      // Not beyond where it should be, nor into the last of the buffer, before the next look.
      return Math.max(1, Math.min(run, 1 + behind / (2 * beat), (ahead - enough) / beat));
    }
    if (ahead < scarce) {
      this.#spare = Math.min(this.#spare + beat / 4, 0.5);
      return behind < 2 ? 1 - (muted ? 0.15 : 0.05) : 1;
    }
    this.#spare = Math.max(0, this.#spare - beat / 60);
    const late = behind - this.#spare;
    if (late < 0.06 || ahead < enough) return 1;
    return 1 + Math.min(muted ? 0.25 : 0.08, late);
  }
}

/** The speed with whole segments: less than a second behind is not worth it, it would never rest. */
export function calm({ ahead, behind, muted }: Place): number {
  return behind < 1 || ahead < enough ? 1 : 1 + Math.min(muted ? 0.25 : 0.08, behind / 2);
}

/** Follows the live edge until it is told to stop. */
export function follow(hls: Hls, video: HTMLVideoElement, low: boolean): () => void {
  const pace = new Pace();
  const look = setInterval(() => {
    if (video.readyState < 2 || video.seeking || video.paused) return;
    const end = video.buffered.length && video.buffered.end(video.buffered.length - 1);
    // hls.latency is as old as the last event.
    const place = { ahead: Math.max(0, end - video.currentTime), behind: (hls.liveSyncPosition ?? -Infinity) - video.currentTime, muted: video.muted };
    if (low && pace.leaps(place)) video.currentTime = Math.min(video.currentTime + place.behind, end - 0.4);
    video.playbackRate = low ? pace.rate(place) : calm(place);
  }, 1000 * beat);
  return () => {
    clearInterval(look);
    video.playbackRate = 1;
  };
}
