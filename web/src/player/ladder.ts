/** Which way of playing is tried, and when the next one is. Plain decisions without a browser, so that tests can make them all. */

/** Ways of playing, best first. */
export type Via = 'webrtc' | 'llhls' | 'hls';
export const ways: readonly Via[] = ['webrtc', 'llhls', 'hls'];

/** Why a way was given up or an attempt failed. */
export type Failure =
  | 'unsupported' // the browser cannot do it
  | 'network' // the server was not reached
  | 'blocked' // the server answered, but no media path opened
  | 'media' // a path opened, but no picture could be shown although the stream is live
  | 'denied' // 401 or 403
  | 'missing' // 404
  | 'busy' // 503
  | 'broken'; // it played and then broke

/** What to do after a failure. `delay` is in ms. */
export type Step =
  | { do: 'retry'; via: Via; delay: number }
  | { do: 'fall'; via: Via; because: Failure }
  | { do: 'stop'; because: Failure };

/** Attempts that one way gets before the next is tried, by failure: a path that did not open once will rarely open on the second try. */
const patience: Record<Failure, number> = { unsupported: 0, blocked: 0, media: 0, network: 2, broken: 2, busy: 2, denied: 0, missing: 0 };

/** 0 at first, then 0.5 s doubling to 15 s, times a random factor between 0.5 and 1: viewers of a node that restarts do not return in one moment. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  if (attempt === 0) return 0;
  return Math.min(500 * 2 ** (attempt - 1), 15_000) * (0.5 + random() / 2);
}

/** Keeps count of one player's attempts. */
export class Ladder {
  via: Via;
  #failures = 0;
  #pinned: boolean;
  #random: () => number;

  /** @param wanted the way the visitor insists on; without it the best that works is taken. */
  constructor(wanted: Via | null, random: () => number = Math.random) {
    this.via = wanted ?? 'webrtc';
    this.#pinned = wanted !== null;
    this.#random = random;
  }

  /** A picture was shown: earlier failures are forgotten. */
  played(): void {
    this.#failures = 0;
  }

  /** @param retryAfter of the server, in ms. */
  failed(why: Failure, retryAfter = 0): Step {
    const attempt = this.#failures++;
    if (why === 'denied') return { do: 'stop', because: why };
    const next = ways[ways.indexOf(this.via) + 1];
    // A missing stream is missing by every way: it is asked for again in a calm rhythm.
    if (why === 'missing') return { do: 'retry', via: this.via, delay: Math.max(3000, backoff(attempt, this.#random)) };
    if (!this.#pinned && next && attempt >= patience[why]) {
      this.via = next;
      this.#failures = 0;
      return { do: 'fall', via: next, because: why };
    }
    if (why === 'unsupported') return { do: 'stop', because: why };
    // The server tells many the same whole seconds: nobody is early, and not all come at the same moment.
    return { do: 'retry', via: this.via, delay: Math.max(retryAfter && retryAfter + 1000 * this.#random(), backoff(attempt, this.#random)) };
  }
}

/** The failure that an HTTP status means. */
export function failureOf(status: number): Failure {
  if (status === 401 || status === 403) return 'denied';
  if (status === 404) return 'missing';
  if (status === 503 || status === 429) return 'busy';
  return status >= 500 ? 'network' : 'media';
}
