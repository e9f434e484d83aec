/**
 * A client of `watershed.v1` (signaling/PROTOCOL.md): one socket for rooms, chat, presence, signaling and events. It comes back
 * by itself, takes its rooms and its subscriptions with it, and hands every message on once.
 *
 * Nothing here knows a browser: a mini-program or Node gives its own `connect`, with the four handlers of a WebSocket.
 */

/** What is used of a WebSocket. */
export interface Wire {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  onopen: ((e: never) => void) | null;
  onmessage: ((e: never) => void) | null;
  onclose: ((e: never) => void) | null;
  onerror: ((e: never) => void) | null;
}

/** Any frame. Fields are those of PROTOCOL.md. */
export interface Frame {
  t: string;
  id?: string | number;
  [field: string]: any;
}

export interface Person {
  user: string;
  name: string;
  role: string;
}

export interface Message {
  offset: number;
  mid: string;
  at: number;
  kind?: 'delete' | 'notice' | string;
  cid?: string;
  user?: string;
  name?: string;
  role?: string;
  text?: string;
  target?: string;
  by?: string;
}

/** What a participant publishes. */
export interface Published {
  stream: string;
  user: string;
  name: string;
  source: 'camera' | 'screen' | string;
  audio: boolean;
  video: boolean;
  muted?: { audio?: boolean; video?: boolean };
}

export interface Rules {
  chat: boolean;
  guests: boolean;
  slow: number;
  publish: 'token' | 'guests' | string;
}

export interface Joined {
  room: string;
  epoch: string;
  offset: number;
  resumed: boolean;
  messages: Message[];
  count: number;
  people: Person[];
  streams: Published[];
  rules: Rules;
  can: { chat: boolean; publish: boolean; moderate: boolean };
}

export interface Welcome {
  session: string;
  node: string;
  now: number;
  heartbeat: number;
  you: Person & { tenant: string; guest: boolean };
  ice?: RTCIceServer[];
  guest?: string;
  rooms: Joined[];
}

/** An `error` frame, or the socket's own failure. */
export class SocketError extends Error {
  /** @param retry ms after which trying again makes sense */
  constructor(readonly code: string, text: string, readonly retry?: number, readonly until?: number) {
    super(text);
  }
}

/** How it stands with the connection. `retryAt` is in ms since 1970. */
export type Status =
  | { state: 'connecting' }
  | { state: 'open' }
  | { state: 'waiting'; retryAt: number }
  | { state: 'closed'; code: number; reason: string };

export interface SocketOptions {
  url: string;
  connect?: (url: string, protocol: string) => Wire;
  token?: string | null;
  name?: string;
  lang?: string;
  /** the key that an earlier welcome gave a guest */
  guest?: string;
  random?: () => number;
}

type Handler = (frame: Frame) => void;

interface Place {
  room: string;
  epoch?: string;
  offset?: number;
  joined: boolean;
}

interface Pending {
  frame: Frame;
  resolve(frame: Frame): void;
  reject(error: SocketError): void;
  /** send it again after a reconnect: it can be repeated without harm */
  repeat: boolean;
}

/** Closes after which this client does not come back by itself: it needs mending, or another token. */
const final = new Set([1003, 1007, 1009, 4400, 4401]);
/** ms. The server closes with 4429 after too many frames and wants calm. */
const calm = 10_000;

/** ms until attempt n (0 is the first): at once, then 0.5 s doubling to 30 s, times a random factor between 0.5 and 1. */
export function reconnectDelay(attempt: number, random: () => number): number {
  if (attempt === 0) return 0;
  return Math.min(500 * 2 ** (attempt - 1), 30_000) * (0.5 + random() / 2);
}

export class Socket {
  /** From the last welcome. */
  welcome: Welcome | null = null;
  status: Status = { state: 'connecting' };

  #o: SocketOptions;
  #wire: Wire | null = null;
  #places = new Map<string, Place>();
  #watch: string[] | null = null;
  #pending = new Map<string | number, Pending>();
  #handlers = new Map<string, Set<Handler>>();
  #id = 0;
  #attempt = 0;
  #heartbeat = 25_000;
  #sentAt = 0;
  #heardAt = 0;
  #beat: ReturnType<typeof setInterval> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #away: number | null = null;
  #stopped = true;

  constructor(options: SocketOptions) {
    this.#o = { ...options };
  }

  /** Hears frames of a type, and of the client's own `status`, `welcome`, `reset` ({room}: throw away what you have of it). Returns the way to stop. */
  on(type: string, handler: Handler): () => void {
    let set = this.#handlers.get(type);
    if (!set) this.#handlers.set(type, (set = new Set()));
    set.add(handler);
    return () => set.delete(handler);
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#open();
  }

  /** Ends it for good. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearInterval(this.#beat);
    this.#drop(new SocketError('closed', 'the socket was closed'), true);
    this.#wire?.close(1000);
    this.#wire = null;
  }

  /** Comes back at once, e.g. when the network has returned or the page is shown again. */
  wake(): void {
    if (this.#stopped || this.status.state !== 'waiting') return;
    clearTimeout(this.#timer);
    this.#open();
  }

  /** Another person, or another name: a new socket with it. */
  become(who: { token?: string | null; name?: string }): void {
    Object.assign(this.#o, who);
    this.#attempt = 0;
    if (this.#stopped) return;
    this.#wire?.close(1000);
    this.#lost(1000, '', 0);
  }

  // Rooms.

  /** Joins, now and after every reconnect, until `leave`. */
  async join(room: string): Promise<Joined> {
    const place: Place = this.#places.get(room) ?? { room, joined: false };
    this.#places.set(room, place);
    if (this.status.state !== 'open') return this.#whenJoined(room);
    const frame = await this.request({ t: 'join', room, epoch: place.epoch, offset: place.offset });
    return this.#enter(frame as unknown as Joined);
  }

  async leave(room: string): Promise<void> {
    this.#places.delete(room);
    if (this.status.state === 'open') await this.request({ t: 'leave', room });
  }

  /** Says something. The same `cid` is sent again after a reconnect, and counts once. */
  async say(room: string, text: string, cid = newID()): Promise<Frame> {
    return this.request({ t: 'say', room, text, cid }, true);
  }

  moderate(room: string, what: { do: string; [field: string]: unknown }): Promise<Frame> {
    return this.request({ t: 'moderate', room, ...what });
  }

  /** Events of streams by globs: `watching` with all of them, now and after every reconnect, then `stream` and `stream-gone`. */
  watch(streams: string[]): void {
    this.#watch = streams;
    if (this.status.state === 'open') this.#subscribe(streams);
  }

  #subscribe(streams: string[]): void {
    this.request({ t: 'watch', streams }).then((f) => this.#emit(f), (e: SocketError) => this.#emit({ t: 'error', code: e.code, text: e.message }));
  }

  /** Sends a frame and waits for the answer with its id. Errors are SocketErrors. */
  request(frame: Frame, repeat = false): Promise<Frame> {
    const id = ++this.#id;
    const whole = { ...frame, id };
    return new Promise((resolve, reject) => {
      if (this.status.state !== 'open' && !repeat) return reject(new SocketError('offline', 'not connected'));
      this.#pending.set(id, { frame: whole, resolve, reject, repeat });
      if (this.status.state === 'open') this.#send(whole);
    });
  }

  /** Sends a frame that has no answer. */
  tell(frame: Frame): void {
    if (this.status.state === 'open') this.#send(frame);
  }

  // The connection.

  #open(): void {
    this.#turn({ state: 'connecting' });
    this.#away = null;
    const connect = this.#o.connect ?? ((url, protocol) => new WebSocket(url, protocol) as unknown as Wire);
    const wire = connect(this.#o.url, 'watershed.v1');
    this.#wire = wire;
    wire.onopen = () => this.#hello(wire);
    wire.onmessage = (e: { data: unknown }) => wire === this.#wire && this.#heard(String(e.data));
    wire.onclose = (e: { code?: number; reason?: string }) => wire === this.#wire && this.#lost(e.code ?? 1006, e.reason ?? '');
    wire.onerror = () => undefined; // a close follows
    this.#heardAt = Date.now();
    clearInterval(this.#beat);
    this.#beat = setInterval(() => this.#tick(), 1000);
  }

  #hello(wire: Wire): void {
    if (wire !== this.#wire) return;
    const { token, name, lang, guest } = this.#o;
    const rooms = [...this.#places.values()].map((p) => ({ room: p.room, epoch: p.epoch, offset: p.offset }));
    this.#send({ t: 'hello', token: token || undefined, name: name || undefined, lang, guest: token ? undefined : guest, rooms });
  }

  #send(frame: Frame): void {
    this.#sentAt = Date.now();
    this.#wire?.send(JSON.stringify(frame));
  }

  /** Once a second: is a ping due, and is the server still there? */
  #tick(): void {
    const now = Date.now();
    if (now - this.#heardAt > 2.5 * this.#heartbeat) {
      this.#wire?.close(4408);
      return this.#lost(4408, 'nothing heard');
    }
    if (this.status.state === 'open' && now - this.#sentAt >= this.#heartbeat) this.#send({ t: 'ping' });
  }

  #lost(code: number, reason: string, delay?: number): void {
    this.#wire = null;
    clearInterval(this.#beat);
    for (const p of this.#places.values()) p.joined = false;
    if (this.#stopped) return;
    if (final.has(code)) {
      this.#stopped = true;
      this.#drop(new SocketError(String(code), reason || `closed with ${code}`), true);
      return this.#turn({ state: 'closed', code, reason });
    }
    this.#drop(new SocketError('offline', 'the connection was lost'), false);
    const wait = delay ?? this.#away ?? Math.max(code === 4429 ? calm : 0, reconnectDelay(this.#attempt++, this.#o.random ?? Math.random));
    this.#turn({ state: 'waiting', retryAt: Date.now() + wait });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), wait);
  }

  /** Fails what waits for an answer that will not come; what can be repeated stays, unless it is the end. */
  #drop(error: SocketError, all: boolean): void {
    for (const [id, p] of this.#pending) {
      if (p.repeat && !all) continue;
      this.#pending.delete(id);
      p.reject(error);
    }
  }

  #turn(status: Status): void {
    this.status = status;
    this.#emit({ t: 'status', status });
  }

  #emit(frame: Frame): void {
    for (const h of [...(this.#handlers.get(frame.t) ?? [])]) h(frame);
  }

  #heard(text: string): void {
    this.#heardAt = Date.now();
    let frame: Frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return; // not ours to mend
    }
    if (frame.id !== undefined && this.#answer(frame)) return;
    switch (frame.t) {
      case 'welcome': return this.#welcomed(frame as unknown as Welcome);
      case 'go-away':
        this.#away = (frame.after ?? 0) + (frame.jitter ?? 0) * (this.#o.random ?? Math.random)();
        return;
      case 'messages': return this.#messages(frame);
      case 'left':
        this.#places.delete(frame.room);
    }
    this.#emit(frame);
  }

  #answer(frame: Frame): boolean {
    const p = this.#pending.get(frame.id!);
    if (!p) return false;
    this.#pending.delete(frame.id!);
    if (frame.t === 'error') p.reject(new SocketError(frame.code, frame.text, frame.retry, frame.until));
    else p.resolve(frame);
    return true;
  }

  #welcomed(w: Welcome): void {
    this.welcome = w;
    this.#attempt = 0;
    this.#heartbeat = w.heartbeat || this.#heartbeat;
    if (w.guest) this.#o.guest = w.guest;
    this.#turn({ state: 'open' });
    this.#emit({ ...w, t: 'welcome' });
    for (const j of w.rooms ?? []) this.#enter(j);
    for (const p of this.#places.values()) if (!p.joined) this.join(p.room).catch((e) => this.#emit({ t: 'left', room: p.room, code: e.code, text: e.message }));
    if (this.#watch) this.#subscribe(this.#watch);
    for (const p of this.#pending.values()) if (p.repeat) this.#send(p.frame);
  }

  /** Takes a `joined`: tells what is to be thrown away and what is new. */
  #enter(j: Joined): Joined {
    const place: Place = this.#places.get(j.room) ?? { room: j.room, joined: true };
    this.#places.set(j.room, place);
    if (!j.resumed) this.#emit({ t: 'reset', room: j.room });
    const known = j.resumed ? (place.offset ?? -1) : -1;
    const messages = j.messages.filter((m) => m.offset > known);
    place.joined = true;
    place.epoch = j.epoch;
    place.offset = j.offset;
    this.#emit({ ...j, t: 'joined' });
    if (messages.length) this.#emit({ t: 'messages', room: j.room, offset: j.offset, messages });
    return j;
  }

  #whenJoined(room: string): Promise<Joined> {
    return new Promise((resolve, reject) => {
      const settle = (f: Frame) => {
        if (f.room !== room) return;
        joined();
        left();
        if (f.t === 'joined') resolve(f as unknown as Joined);
        else reject(new SocketError(f.code ?? 'closed', f.text ?? 'left'));
      };
      const joined = this.on('joined', settle);
      const left = this.on('left', settle);
    });
  }

  /** Messages in order, each once: what a resume has told already is left out. */
  #messages(frame: Frame): void {
    const place = this.#places.get(frame.room);
    if (!place) return;
    const known = place.offset ?? -1;
    const messages = (frame.messages as Message[]).filter((m) => m.offset > known);
    place.offset = Math.max(known, frame.offset ?? 0, ...messages.map((m) => m.offset));
    if (messages.length) this.#emit({ ...frame, messages });
  }
}

/** A client's own id of a message. */
export function newID(): string {
  const bytes = new Uint8Array(12);
  if (globalThis.crypto?.getRandomValues) globalThis.crypto.getRandomValues(bytes);
  else for (let i = 0; i < bytes.length; i++) bytes[i] = Math.floor(Math.random() * 256); // mini-programs have no crypto; it need only be unique for one person
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}
