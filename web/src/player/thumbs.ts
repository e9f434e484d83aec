/** Small pictures of a stream's past for the time line: asked for one at a time, because the server makes one at a time, and kept. */
import type { Target } from './transport';

/** Pictures that are kept, some 30 kB each. */
const most = 80;

export class Thumbs {
  #target: Target;
  /** addresses of pictures by their time; '' where there is none */
  #kept = new Map<number, string>();
  #wanted: { at: number; show: (url: string) => void } | null = null;
  #busy = false;
  /** the server makes no pictures, or this viewer may not see them */
  #off = false;
  #gone = new AbortController();

  constructor(target: Target) {
    this.#target = target;
  }

  /** Shows the picture of a moment as soon as it is there, unless another is asked for before. '' if there is none. */
  want(at: number, show: (url: string) => void): void {
    const kept = this.#kept.get(at);
    if (kept !== undefined || this.#off) {
      this.#wanted = null;
      return show(kept ?? '');
    }
    this.#wanted = { at, show };
    if (!this.#busy) void this.#work();
  }

  async #work(): Promise<void> {
    this.#busy = true;
    for (let w = this.#wanted; w && !this.#off; w = this.#wanted) {
      const url = await this.#fetch(w.at).catch(() => '');
      if (this.#gone.signal.aborted) return void (url && URL.revokeObjectURL(url));
      this.#keep(w.at, url);
      if (w === this.#wanted) {
        this.#wanted = null;
        w.show(url);
      }
    }
    this.#busy = false;
  }

  async #fetch(at: number): Promise<string> {
    const { server, stream, token } = this.#target;
    const r = await fetch(`${server}/api/v1/streams/${stream}/snapshot?at=${at / 1000}`, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: this.#gone.signal,
    });
    this.#off = r.status === 501 || r.status === 401 || r.status === 403;
    return r.ok ? URL.createObjectURL(await r.blob()) : '';
  }

  #keep(at: number, url: string): void {
    this.#kept.set(at, url);
    if (this.#kept.size <= most) return;
    const [oldest, its] = this.#kept.entries().next().value!;
    this.#kept.delete(oldest);
    if (its) URL.revokeObjectURL(its);
  }

  close(): void {
    this.#gone.abort();
    for (const url of this.#kept.values()) if (url) URL.revokeObjectURL(url);
    this.#kept.clear();
  }
}
