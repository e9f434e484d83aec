/** One person's stay in a room: whom they see, what they show, as signals. */
import { computed, effect, signal } from '@preact/signals';
import type { Stream } from '../api';
import { isLive } from '../api';
import type { Frame, Published, Socket } from '../socket';
import { Chat } from '../ui/chat';
import { Showing } from './showing';
import { Viewing } from './viewing';

/** Pictures and voices that one connection takes. More would be more than a phone decodes. */
const slots = matchMedia('(max-width: 720px)').matches ? 6 : 12;

export class Room {
  readonly name: string;
  readonly chat: Chat;
  readonly showing: Showing;
  readonly viewing: Viewing;
  readonly speakers = signal<string[]>([]);
  /** everything that is published here, by stream */
  readonly published = signal<ReadonlyMap<string, Published>>(new Map());
  /** the declared stream of the room's own name, while it is live */
  readonly main = signal<Stream | null>(null);
  /** what others show: screens first, then the stream of the room, then people in the order they came */
  readonly others = computed(() => this.#others());
  #socket: Socket;
  #off: (() => void)[];

  constructor(socket: Socket, name: string) {
    this.#socket = socket;
    this.name = name;
    this.showing = new Showing(socket, name);
    this.viewing = new Viewing(socket, slots);
    const mine = (type: string, handle: (f: Frame) => void) => socket.on(type, (f) => f.room === name && handle(f));
    this.#off = [
      mine('joined', (f) => this.#joined(f)),
      mine('streams', (f) => this.#streams(f)),
      mine('speakers', (f) => (this.speakers.value = f.users)),
      socket.on('watching', (f) => f.streams.forEach((s: Stream) => this.#stream(s))),
      socket.on('stream', (f) => this.#stream(f.stream)),
      effect(() => this.viewing.want(this.others.value)),
    ];
    this.chat = new Chat(socket, name);
    socket.watch([name]);
  }

  leave(): void {
    for (const off of this.#off) off();
    this.showing.close();
    this.viewing.close();
    this.chat.close();
    this.#socket.leave(this.name).catch(() => undefined);
  }

  /** Joined, for the first time or again: sessions of the socket before are gone, so both connections open anew. */
  #joined(f: Frame): void {
    this.published.value = new Map((f.streams as Published[]).map((p) => [p.stream, p]));
    void this.viewing.open();
    void this.showing.open();
  }

  #streams(f: Frame): void {
    const next = new Map(this.published.value);
    for (const p of (f.added ?? []) as Published[]) next.set(p.stream, p);
    for (const p of (f.changed ?? []) as Published[]) next.set(p.stream, { ...next.get(p.stream)!, ...p });
    for (const s of (f.removed ?? []) as string[]) next.delete(s);
    this.published.value = next;
  }

  #stream(s: Stream): void {
    if (s.name === this.name) this.main.value = isLive(s) ? s : null;
  }

  #others(): Published[] {
    const own = this.showing.stream.value;
    const me = this.#socket.welcome?.you.user;
    const people = [...this.published.value.values()].filter((p) => p.stream !== own && p.user !== me);
    const main = this.main.value;
    const stage: Published[] = main
      ? [{ stream: main.name, user: '', name: main.title || main.name, source: 'stream', video: true, audio: main.tracks?.some((t) => t.kind === 'audio') ?? true }]
      : [];
    return [...people.filter((p) => p.source === 'screen'), ...stage, ...people.filter((p) => p.source !== 'screen')];
  }
}
