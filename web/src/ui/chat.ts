/** The chat of one room as signals: what was said, what is being sent, and why one cannot. */
import { computed, signal } from '@preact/signals';
import { newID, SocketError, type Joined, type Message, type Rules, type Socket } from '../socket';

/** A line of the chat: a message of the room, or one of our own that is not yet committed. */
export interface Line extends Message {
  state?: 'sending' | 'failed';
  why?: SocketError;
}

/** Lines that are kept in the page: older ones leave at the top. */
const most = 300;

export class Chat {
  readonly room: string;
  readonly lines = signal<Line[]>([]);
  readonly joined = signal<Joined | null>(null);
  readonly rules = signal<Rules | null>(null);
  readonly count = signal(0);
  /** ms since 1970 until which this person may not write */
  readonly muted = signal(0);
  /** why the room was left, when it was not by our will */
  readonly left = signal<{ code: string; text: string } | null>(null);
  readonly mayWrite = computed(() => {
    const j = this.joined.value;
    return j !== null && j.can.chat;
  });
  #socket: Socket;
  #off: (() => void)[];
  #unmute: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Socket, room: string) {
    this.#socket = socket;
    this.room = room;
    const mine = (type: string, handle: (f: any) => void) => socket.on(type, (f) => f.room === room && handle(f));
    this.#off = [
      mine('joined', (f) => this.#joined(f)),
      mine('reset', () => (this.lines.value = this.lines.value.filter((l) => l.state))),
      mine('messages', (f) => this.#add(f.messages)),
      mine('presence', (f) => (this.count.value = f.count)),
      mine('rules', (f) => this.#ruled({ ...this.rules.value, ...f.rules })),
      mine('sanction', (f) => f.do === 'mute' && this.#mute(f.until || Infinity)),
      mine('sanction', (f) => f.do === 'unmute' && this.#mute(0)),
      mine('left', (f) => (this.left.value = { code: f.code ?? '', text: f.text ?? '' })),
    ];
    socket.join(room).catch((e: SocketError) => {
      if (e.code !== 'offline') this.left.value = { code: e.code, text: e.message };
    });
  }

  /** A mute that ends is over for the eyes, too. */
  #mute(until: number): void {
    this.muted.value = until;
    clearTimeout(this.#unmute);
    if (until && until < Infinity) this.#unmute = setTimeout(() => (this.muted.value = 0), Math.min(until - Date.now(), 2 ** 31 - 1));
  }

  close(): void {
    clearTimeout(this.#unmute);
    for (const off of this.#off) off();
  }

  #joined(j: Joined): void {
    this.joined.value = j;
    this.rules.value = j.rules;
    this.count.value = j.count;
    this.left.value = null;
  }

  #ruled(rules: Rules): void {
    this.rules.value = rules;
  }

  #add(messages: Message[]): void {
    let lines = [...this.lines.value];
    for (const m of messages) {
      if (m.kind === 'delete') lines = lines.filter((l) => l.mid !== m.target);
      else if ((!m.kind || m.kind === 'notice') && !lines.some((l) => l.mid === m.mid && !l.state)) {
        const own = m.cid ? lines.findIndex((l) => l.state && l.cid === m.cid) : -1;
        if (own >= 0) lines.splice(own, 1);
        const at = lines.findIndex((l) => l.state); // what is not committed stays below what is
        if (at < 0) lines.push(m);
        else lines.splice(at, 0, m);
      }
    }
    this.lines.value = lines.slice(-most);
  }

  /** Says something; the line shows at once and changes its state. */
  async say(text: string, cid = newID()): Promise<void> {
    const you = this.#socket.welcome?.you;
    const line: Line = { offset: Infinity, mid: cid, cid, at: Date.now(), user: you?.user, name: you?.name, role: you?.role, text, state: 'sending' };
    this.lines.value = [...this.lines.value.filter((l) => l.cid !== cid), line];
    try {
      const said = await this.#socket.say(this.room, text, cid);
      if (this.lines.value.some((l) => l.cid === cid && l.state)) {
        this.#add([{ ...line, mid: said.mid, offset: said.offset, at: said.at, state: undefined } as Message]);
      }
    } catch (e) {
      const why = e as SocketError;
      if (why.code === 'muted') this.#mute(why.until ?? Infinity);
      this.#mark(cid, { state: 'failed', why });
    }
  }

  /** Sends a failed line again, under its own cid. */
  again(line: Line): void {
    void this.say(line.text ?? '', line.cid);
  }

  #mark(cid: string, change: Partial<Line>): void {
    this.lines.value = this.lines.value.map((l) => (l.cid === cid && l.state ? { ...l, ...change } : l));
  }

  remove(line: Line): Promise<void> {
    return this.#moderate({ do: 'delete', target: line.mid });
  }

  mute(line: Line, ms: number): Promise<void> {
    return this.#moderate({ do: 'mute', user: line.user, for: ms });
  }

  /** What could not be done is told where it would have been seen. */
  async #moderate(what: { do: string; [field: string]: unknown }): Promise<void> {
    try {
      await this.#socket.moderate(this.room, what);
    } catch (e) {
      this.#add([{ offset: Infinity, mid: newID(), at: Date.now(), kind: 'notice', text: (e as SocketError).message }]);
    }
  }
}
