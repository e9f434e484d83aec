/** Sees and hears the others: one PeerConnection with a pool of slots, negotiated once, bound as people come and go. */
import { signal } from '@preact/signals';
import { backoff } from '../player/ladder';
import type { Frame, Socket } from '../socket';
import { assign, type Slot, type Wanted } from './slots';

/** Tracks of one stream, as one media stream for one element. */
export interface Seen {
  media: MediaStream;
  /** of the stream, as far as it was told: live, stalled, … */
  state: string;
}

export class Viewing {
  /** by stream */
  readonly seen = signal<ReadonlyMap<string, Seen>>(new Map());
  #socket: Socket;
  #pc: RTCPeerConnection | null = null;
  #pool: Slot[] = [];
  #wanted: Wanted[] = [];
  #tracks = new Map<string, MediaStreamTrack>(); // by mid
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #slots: number;
  #off: () => void;
  #busy = Promise.resolve();

  /** @param slots pictures, and voices, at once */
  constructor(socket: Socket, slots: number) {
    this.#socket = socket;
    this.#slots = slots;
    const off = [socket.on('slot', (f) => this.#told(f)), socket.on('unviewed', (f) => f.id === undefined && this.#again())];
    this.#off = () => off.forEach((o) => o());
  }

  /** Opens the connection, or opens it anew after the socket came back. */
  async open(): Promise<void> {
    this.#hangUp();
    const pc = (this.#pc = new RTCPeerConnection({ iceServers: this.#socket.welcome?.ice ?? [] }));
    for (const kind of ['video', 'audio'] as const) {
      for (let i = 0; i < this.#slots; i++) pc.addTransceiver(kind, { direction: 'recvonly' });
    }
    pc.ontrack = (e) => this.#tracks.set(e.transceiver.mid!, e.track);
    pc.onconnectionstatechange = () => pc === this.#pc && this.#state(pc);
    try {
      await pc.setLocalDescription();
      const f = await this.#socket.request({ t: 'view', sdp: pc.localDescription!.sdp });
      if (pc !== this.#pc) return;
      await pc.setRemoteDescription({ type: 'answer', sdp: f.sdp });
      this.#pool = f.slots.map((s: { mid: string; kind: 'video' | 'audio' }) => ({ mid: s.mid, kind: s.kind, stream: null }));
      this.#bind();
    } catch {
      if (pc === this.#pc) this.#again();
    }
  }

  /** Whom to show and to hear, most wanted first. */
  want(wanted: Wanted[]): void {
    this.#wanted = wanted;
    this.#bind();
  }

  close(): void {
    this.#off();
    if (this.#pc) this.#socket.request({ t: 'unview' }).catch(() => undefined);
    this.#hangUp();
  }

  #state(pc: RTCPeerConnection): void {
    if (pc.connectionState === 'connected') this.#attempt = 0;
    if (pc.connectionState === 'failed') this.#again();
  }

  #again(): void {
    this.#hangUp();
    this.#timer = setTimeout(() => this.#socket.status.state === 'open' && void this.open(), backoff(++this.#attempt));
  }

  #hangUp(): void {
    clearTimeout(this.#timer);
    this.#pc?.close();
    this.#pc = null;
    this.#pool = [];
    this.#tracks.clear();
    this.seen.value = new Map();
  }

  #bind(): void {
    if (!this.#pool.length) return;
    const { pool, changed } = assign(this.#pool, this.#wanted);
    this.#pool = pool;
    this.#show();
    if (!changed.length) return;
    const slots = changed.map((s) => ({ mid: s.mid, stream: s.stream }));
    // One after the other: the last assignment must be the one that stays.
    this.#busy = this.#busy.then(() => this.#socket.request({ t: 'bind', slots })).then((f) => this.#bound(f), () => undefined);
  }

  /** Slots that the server could not bind are free again. */
  #bound(f: Frame): void {
    for (const b of f.slots ?? []) {
      if (b.ok) continue;
      const slot = this.#pool.find((s) => s.mid === b.mid);
      if (slot) slot.stream = null;
    }
    this.#show();
  }

  #told(f: Frame): void {
    if (f.reason === 'gone') {
      const slot = this.#pool.find((s) => s.mid === f.mid);
      if (slot) slot.stream = null;
      return this.#show();
    }
    const seen = this.seen.value.get(f.stream);
    if (seen) this.seen.value = new Map(this.seen.value).set(f.stream, { ...seen, state: f.state });
  }

  /** Puts each stream's tracks together; an element whose stream has the same tracks is not touched. */
  #show(): void {
    const next = new Map<string, Seen>();
    for (const slot of this.#pool) {
      const track = slot.stream && this.#tracks.get(slot.mid);
      if (!slot.stream || !track) continue;
      const before = this.seen.value.get(slot.stream);
      const seen = next.get(slot.stream) ?? { media: before?.media ?? new MediaStream(), state: before?.state ?? '' };
      next.set(slot.stream, seen);
    }
    for (const [stream, { media }] of next) {
      const tracks = this.#pool.filter((s) => s.stream === stream).map((s) => this.#tracks.get(s.mid)!).filter(Boolean);
      for (const t of media.getTracks()) if (!tracks.includes(t)) media.removeTrack(t);
      for (const t of tracks) if (!media.getTracks().includes(t)) media.addTrack(t);
    }
    this.seen.value = next;
  }
}
