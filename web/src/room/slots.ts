/** Who is in which slot of the pool. A stream that has a slot keeps it: rebinding costs a keyframe. */

export interface Slot {
  mid: string;
  kind: 'video' | 'audio';
  stream: string | null;
}

/** What is wanted, most wanted first. */
export interface Wanted {
  stream: string;
  video: boolean;
  audio: boolean;
}

/** Assigns streams to slots. Returns the new pool, and the slots that changed. */
export function assign(pool: readonly Slot[], wanted: readonly Wanted[]): { pool: Slot[]; changed: Slot[] } {
  const next = pool.map((s) => ({ ...s }));
  for (const kind of ['video', 'audio'] as const) {
    const mine = next.filter((s) => s.kind === kind);
    const streams = wanted.filter((w) => w[kind]).slice(0, mine.length).map((w) => w.stream);
    for (const s of mine) if (s.stream && !streams.includes(s.stream)) s.stream = null;
    for (const stream of streams) {
      if (mine.some((s) => s.stream === stream)) continue;
      mine.find((s) => !s.stream)!.stream = stream;
    }
  }
  return { pool: next, changed: next.filter((s, i) => s.stream !== pool[i]!.stream) };
}
