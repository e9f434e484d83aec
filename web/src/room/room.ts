/** One person's stay in a room: whom they see, what they show, as signals. */
import { computed, effect, signal, untracked } from '@preact/signals';
import type { Stream } from '../api';
import { isLive } from '../api';
import type { Frame, Published, Socket, SocketError } from '../socket';
import { Chat } from '../ui/chat';
import { Showing } from './showing';
import { inView, recall } from './speaking';
import { Viewing } from './viewing';

/** Pictures and voices that one connection takes. More would be more than a phone decodes. */
export const slots = matchMedia('(max-width: 720px)').matches ? 6 : 12;

export class Room {
  readonly name: string;
  readonly chat: Chat;
  readonly camera: Showing;
  readonly screen: Showing;
  readonly viewing: Viewing;
  /** everything that is published here, by stream */
  readonly published = signal<ReadonlyMap<string, Published>>(new Map());
  /** the declared stream of the room's own name, while it is live */
  readonly main = signal<Stream | null>(null);
  /** users who speak now, the loudest first */
  readonly speakers = signal<readonly string[]>([]);
  /** users who spoke, the latest first */
  readonly recent = signal<readonly string[]>([]);
  /** what others show: screens first, then the stream of the room, then people in the order they came */
  readonly others = computed(() => this.#others());
  /** what could not be done just now, in words */
  readonly notice = signal('');
  #hush: ReturnType<typeof setTimeout> | undefined;
  #socket: Socket;
  #off: (() => void)[];

  constructor(socket: Socket, name: string) {
    this.#socket = socket;
    this.name = name;
    this.camera = new Showing(socket, name, 'camera');
    this.screen = new Showing(socket, name, 'screen');
    this.viewing = new Viewing(socket, slots);
    const mine = (type: string, handle: (f: Frame) => void) => socket.on(type, (f) => f.room === name && handle(f));
    this.#off = [
      mine('joined', (f) => this.#joined(f)),
      mine('streams', (f) => this.#streams(f)),
      mine('speakers', (f) => this.#speakers(f.users)),
      socket.on('watching', (f) => f.streams.forEach((s: Stream) => this.#stream(s))),
      socket.on('stream', (f) => this.#stream(f.stream)),
      effect(() => {
        const all = this.others.value;
        const first = inView(all.filter((p) => p.source === 'camera'), slots - all.filter((p) => p.source !== 'camera').length, this.recent.value);
        const wanted = [...all.filter((p) => p.source !== 'camera'), ...first];
        untracked(() => this.viewing.want(wanted));
      }),
    ];
    this.chat = new Chat(socket, name);
    socket.watch([name]);
  }

  /** Mutes somebody, ends what they show, puts them out: for moderators. */
  moderate(todo: string, user: string): Promise<void> {
    return this.#socket.moderate(this.name, { do: todo, user }).then(() => undefined, (e: SocketError) => this.#tell(e.message));
  }

  /** Says for a moment what could not be done. */
  #tell(text: string): void {
    clearTimeout(this.#hush);
    this.notice.value = text;
    this.#hush = setTimeout(() => (this.notice.value = ''), 6000);
  }

  leave(): void {
    clearTimeout(this.#hush);
    for (const off of this.#off) off();
    this.camera.close();
    this.screen.close();
    this.viewing.close();
    this.chat.close();
    this.#socket.leave(this.name).catch(() => undefined);
  }

  /** Joined, for the first time or again: sessions of the socket before are gone, so all connections open anew. */
  #joined(f: Frame): void {
    this.published.value = new Map((f.streams as Published[]).map((p) => [p.stream, p]));
    this.#speakers(f.speakers ?? []);
    void this.viewing.open();
    void this.camera.open();
    void this.screen.open();
  }

  #streams(f: Frame): void {
    const next = new Map(this.published.value);
    for (const p of (f.added ?? []) as Published[]) next.set(p.stream, p);
    for (const p of (f.changed ?? []) as Published[]) next.set(p.stream, { ...next.get(p.stream)!, ...p });
    for (const s of (f.removed ?? []) as string[]) next.delete(s);
    this.published.value = next;
    if (f.removed) for (const s of [this.camera, this.screen]) if (s.refused.value?.code === 'full') void s.open(); // a place may be free
  }

  #speakers(users: string[]): void {
    this.speakers.value = users;
    this.recent.value = recall(this.recent.value, users);
  }

  #stream(s: Stream): void {
    if (s.name === this.name) this.main.value = isLive(s) ? s : null;
  }

  #others(): Published[] {
    const own = [this.camera.stream.value, this.screen.stream.value];
    const me = this.#socket.welcome?.you.user;
    const people = [...this.published.value.values()].filter((p) => !own.includes(p.stream) && p.user !== me);
    const main = this.main.value;
    const stage: Published[] = main
      ? [{ stream: main.name, user: '', name: main.title || main.name, source: 'stream', video: true, audio: main.tracks?.some((t) => t.kind === 'audio') ?? true }]
      : [];
    return [...people.filter((p) => p.source === 'screen'), ...stage, ...people.filter((p) => p.source !== 'screen')];
  }
}
