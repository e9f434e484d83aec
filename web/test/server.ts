/** The server's side of watershed.v1 for tests: a real WebSocket server whose answers the test gives. */
import type { AddressInfo } from 'node:net';
import { WebSocket, WebSocketServer } from 'ws';
import type { Frame, Joined, Wire } from '../src/socket';

export class Server {
  readonly frames: Frame[] = [];
  #wss: WebSocketServer;
  #wires: WebSocket[] = [];
  #waiting: { match: (f: Frame) => boolean; resolve: (f: Frame) => void }[] = [];
  /** Called for each frame; by default hello is answered. */
  answer: (f: Frame) => void = (f) => f.t === 'hello' && this.welcome();

  static async open(): Promise<Server> {
    const wss = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: (p) => (p.has('watershed.v1') ? 'watershed.v1' : false) });
    await new Promise((r) => wss.once('listening', r));
    return new Server(wss);
  }

  constructor(wss: WebSocketServer) {
    this.#wss = wss;
    wss.on('connection', (wire) => {
      this.#wires.push(wire);
      wire.on('message', (data) => this.#heard(JSON.parse(String(data))));
    });
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#wss.address() as AddressInfo).port}/ws`;
  }

  get connections(): number {
    return this.#wires.length;
  }

  #heard(f: Frame): void {
    this.frames.push(f);
    this.answer(f);
    this.#waiting = this.#waiting.filter((w) => !w.match(f) || (w.resolve(f), false));
  }

  /** The next frame of a type that is not yet there. */
  next(type: string): Promise<Frame> {
    return new Promise((resolve) => this.#waiting.push({ match: (f) => f.t === type, resolve }));
  }

  send(f: object): void {
    this.#wires.at(-1)!.send(JSON.stringify(f));
  }

  welcome(o: object = {}): void {
    this.send({ t: 'welcome', session: 's', node: 'n1', now: 0, heartbeat: 25_000, you: { user: 'u-1', name: 'Li', role: 'viewer', tenant: 'default', guest: true }, rooms: [], ...o });
  }

  drop(code = 1001): void {
    this.#wires.at(-1)!.close(code);
  }

  close(): Promise<void> {
    for (const w of this.#wires) w.terminate();
    return new Promise((r) => this.#wss.close(() => r()));
  }
}

export const connect = (url: string, protocol: string): Wire => new WebSocket(url, protocol) as unknown as Wire;

export function joined(o: Partial<Joined> = {}): Joined {
  return {
    room: 'river-1', epoch: 'e1', offset: 0, resumed: false, messages: [], count: 1, people: [], streams: [],
    rules: { chat: true, guests: true, slow: 0, publish: 'token' }, can: { chat: true, publish: false, moderate: false }, ...o,
  };
}

export function message(offset: number, text = `m${offset}`) {
  return { offset, mid: `mid-${offset}`, at: offset, user: 'u-2', name: 'Ann', role: 'viewer', text };
}
