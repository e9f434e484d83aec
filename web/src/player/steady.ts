/**
 * Which encoding comes next, for low latency. hls.js's own rules are made for seconds in the buffer: with a third of one they give up requests that would
 * have come in time, and change in the middle of a segment. To do that hls.js loads the open segment from its keyframe on, and what is on the screen is
 * replaced meanwhile: Chromium then shows nothing until the next keyframe. So here a change is made between segments only, and a request is given up only
 * when it hangs. What is not loaded by parts (far from the live edge) is left to hls.js.
 */
import Hls, { type BufferAppendingData, type Events, type Fragment, type FragLoadedData, type FragLoadingData, type Part } from 'hls.js';

/** How much of the network a rung may take: parts of one rung differ in size, and what is left is what a dip may cost. Less to go up than to stay. */
const stay = 0.65;
const rise = 0.5;

/**
 * The rung to go on with.
 * @param rungs bits a second that each takes at most, the smallest first
 * @param bandwidth bits a second that the network lately brought
 */
export function next(rungs: readonly number[], now: number, bandwidth: number): number {
  const fits = (share: number) => Math.max(0, rungs.findLastIndex((bitrate) => bitrate <= share * bandwidth));
  return rungs[now]! > stay * bandwidth ? Math.min(now, fits(stay)) : Math.max(now, fits(rise));
}

/**
 * Bandwidth by what came lately: bits over the time that they took, the network's delay left out. That is the shortest wait for a first byte: small parts come
 * with it whole, and all that they waited for longer was bandwidth.
 */
export class Bandwidth {
  #came: { bits: number; took: number; wait: number }[] = [];

  /** Parts that count: more than a second of them, so that a keyframe is among them where segments are short. */
  static readonly parts = 10;

  /** @param took ms from the request to the last byte, and @param wait to the first */
  add(bytes: number, took: number, wait: number): void {
    this.#came.push({ bits: bytes * 8, took, wait });
    if (this.#came.length > Bandwidth.parts) this.#came.shift();
  }

  /** bits/s, 0 until something is known */
  get estimate(): number {
    const delay = Math.min(...this.#came.map((c) => c.wait));
    const [bits, ms] = this.#came.reduce(([b, t], c) => [b + c.bits, t + Math.max(1, c.took - delay)], [0, 0]);
    return ms && (1000 * bits) / ms;
  }
}

/**
 * Puts media two microseconds later than they say. The browser's times are whole microseconds and hls.js's are sums of fractions: where a segment ended a trillionth
 * of a second before hls.js has the next begin, it looked for more of the one that was complete, for three target durations.
 */
function later(_: Events.BUFFER_APPENDING, data: BufferAppendingData): void {
  if (data.offset !== undefined) data.offset += 2e-6;
}

/** A part on its way for so long, in ms, hangs: the network has collapsed. */
const hanging = 1000;

/** hls.js's controller, with the rules above for parts. */
export class Steady extends Hls.DefaultConfig.abrController {
  readonly bandwidth = new Bandwidth();
  #last: Part | null = null; // that came
  #chosen = -1; // after it
  #watch: ReturnType<typeof setTimeout> | undefined;

  /** hls.js makes this controller before the one that appends, so what it listens to comes here first. */
  constructor(hls: Hls) {
    super(hls);
    hls.on(Hls.Events.BUFFER_APPENDING, later);
  }

  override destroy(): void {
    clearTimeout(this.#watch);
    this.hls.off(Hls.Events.BUFFER_APPENDING, later);
    super.destroy();
  }

  /** Limits that change count at the next segment, too. */
  override get nextAutoLevel(): number {
    const { hls } = this;
    if (!this.#last) return super.nextAutoLevel;
    if (this.#chosen < 0 && this.#between(this.#last)) {
      const level = next(hls.levels.map((l) => l.maxBitrate), this.#last.fragment.level, this.bandwidth.estimate);
      this.#chosen = Math.min(Math.max(level, hls.minAutoLevel), hls.maxAutoLevel);
    }
    return this.#chosen < 0 ? hls.loadLevel : this.#chosen;
  }

  /** hls.js tells what it took; another one it wants after an error. */
  override set nextAutoLevel(level: number) {
    super.nextAutoLevel = level;
    if (this.#last && level !== this.hls.loadLevel) this.#chosen = level;
  }

  /** Whether what is next begins a segment. It must be listed: without that hls.js would load the segment before once more. */
  #between(last: Part): boolean {
    const { sn } = last.fragment;
    const parts = this.hls.latestLevelDetails?.partList ?? [];
    return parts.some((p) => p.fragment.sn > sn) && !parts.some((p) => p.fragment.sn === sn && p.index > last.index);
  }

  protected override onFragLoading(event: Events.FRAG_LOADING, data: FragLoadingData): void {
    const { frag, part } = data;
    if (frag.type !== 'main') return;
    if (part) return this.#guard(frag);
    this.#last = null;
    clearTimeout(this.#watch);
    super.onFragLoading(event, data);
  }

  protected override onFragLoaded(event: Events.FRAG_LOADED, data: FragLoadedData): void {
    super.onFragLoaded(event, data);
    const { frag, part } = data;
    if (frag.type !== 'main' || !part) return;
    const { loading, loaded } = part.stats;
    this.bandwidth.add(loaded, loading.end - loading.start, loading.first - loading.start);
    this.#last = part;
    this.#chosen = -1;
    this.#guard(frag);
  }

  /** Gives up the part that is on its way if it hangs, and goes on with the smallest rung. */
  #guard(frag: Fragment): void {
    clearTimeout(this.#watch);
    this.#watch = setTimeout(() => {
      const { hls } = this;
      if (frag.level !== hls.loadLevel || frag.level <= hls.minAutoLevel || !hls.autoLevelEnabled) return;
      const part = hls.latestLevelDetails?.partList?.find(({ stats: { loading } }) => loading.start && !loading.end);
      if (!part) return;
      this.bandwidth.add(part.stats.loaded, hanging, hanging);
      this.#last = part;
      this.#chosen = hls.minAutoLevel;
      hls.nextLoadLevel = this.#chosen;
      frag.abortRequests();
      hls.trigger(Hls.Events.FRAG_LOAD_EMERGENCY_ABORTED, { frag, part, stats: part.stats });
    }, hanging);
  }
}
