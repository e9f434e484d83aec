/** What the player asks of a way of playing, and hears from it. */
import type { Failure, Via } from './ladder';

/** Figures for people, taken about once a second. */
export interface Figures {
  /** Delay from the camera's side of the server to the screen, ms; estimated for WebRTC, measured by hls.js for HLS. */
  latency?: number;
  width?: number;
  height?: number;
  fps?: number;
  /** bits/s received */
  bitrate?: number;
  /** part of the packets that were lost in the last second, 0..1 */
  loss?: number;
  codec?: string;
  /** of the picture that is shown: ms since 1970 by the server's clock, where the way of playing knows it */
  date?: number;
  /** grows while media is played; it only counts in comparison with itself */
  progress?: number;
}

/** One encoding of the picture that can be chosen. */
export interface Choice {
  /** as the way of playing knows it */
  id: string;
  /** pixels, 0 if unknown */
  height: number;
}

/** What the viewer wants of the picture. */
export interface Want {
  /** id of a choice; null leaves it to the way of playing */
  layer: string | null;
  /** device pixels of the picture on the screen, 0 if unknown: more is not needed */
  height: number;
  /** nobody looks just now */
  hidden: boolean;
  /** the smallest encoding, whatever the path could carry: data costs money here */
  low: boolean;
}

/** What is opened. */
export interface Plan {
  /** ms since 1970 of the recorded moment to begin at; null is live */
  from: number | null;
  /** no picture: only the sound is fetched */
  soundOnly: boolean;
  low: boolean;
}

/** One running way of playing into one video element. */
export interface Transport {
  readonly via: Via;
  figures(): Promise<Figures>;
  want(want: Want): void;
  /** Goes to a recorded moment; false if it must be opened anew for that. */
  seek?(at: number): boolean;
  /** Plays recorded pictures faster or slower. */
  speed?(rate: number): void;
  /** Ends it, also at the server. The video keeps its last picture where it can. */
  close(): void;
}

/** What a transport says. After `failed` it is closed. */
export interface Listener {
  failed(why: Failure, text?: string, retryAfter?: number): void;
  /** The path to the media is open, pictures may follow. */
  connected(): void;
  /** What can be chosen, if that is known. */
  choices?(all: Choice[]): void;
  /** There is sound that can be had without the picture. */
  sound?(): void;
}

/** Where and as whom to play. */
export interface Target {
  /** origin of the Watershed server, without a slash at the end */
  server: string;
  stream: string;
  token: string | null;
}
