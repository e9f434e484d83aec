import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { newID, reconnectDelay, Socket, SocketError, type Frame } from '../src/socket';
import { connect, joined, message, Server } from './server';

let server: Server;
let socket: Socket;

beforeEach(async () => {
  server = await Server.open();
  socket = new Socket({ url: server.url, connect, name: 'Li', lang: 'en', random: () => 0 });
});

afterEach(async () => {
  socket.stop();
  await server.close();
});

const once = (type: string) => new Promise<Frame>((resolve) => {
  const off = socket.on(type, (f) => (off(), resolve(f)));
});
const open = async () => {
  const welcome = once('welcome');
  socket.start();
  await welcome;
};

describe('beginning', () => {
  it('says hello with who it is, and never puts a token into the address', async () => {
    socket = new Socket({ url: server.url, connect, token: 'JWT', guest: 'g' });
    await open();
    expect(server.frames[0]).toMatchObject({ t: 'hello', token: 'JWT', rooms: [] });
    expect(server.frames[0]).not.toHaveProperty('guest');
    expect(server.url).not.toContain('JWT');
  });

  it('stays the same guest after a reconnect', async () => {
    server.answer = (f) => f.t === 'hello' && server.welcome({ guest: 'key' });
    await open();
    const hello = server.next('hello');
    server.drop();
    expect(await hello).toMatchObject({ guest: 'key', name: 'Li' });
  });

  it.each([1003, 1007, 1009, 4400, 4401])('does not come back after %i', async (code) => {
    await open();
    const closed = new Promise<Frame>((r) => socket.on('status', (f) => f.status.state === 'closed' && r(f)));
    server.drop(code);
    expect((await closed).status).toMatchObject({ code });
    expect(server.connections).toBe(1);
  });
});

describe('requests', () => {
  it('get the answer with their id', async () => {
    server.answer = (f) => {
      if (f.t === 'hello') server.welcome();
      if (f.t === 'one') setTimeout(() => server.send({ t: 'uno', id: f.id }), 20);
      if (f.t === 'two') server.send({ t: 'due', id: f.id });
    };
    await open();
    const [one, two] = await Promise.all([socket.request({ t: 'one' }), socket.request({ t: 'two' })]);
    expect([one.t, two.t]).toEqual(['uno', 'due']);
  });

  it('fail with the code and the words of an error', async () => {
    server.answer = (f) => f.t === 'hello' ? server.welcome() : server.send({ t: 'error', id: f.id, code: 'slow', text: 'wait 4 s', retry: 4000 });
    await open();
    await expect(socket.say('r', 'x')).rejects.toMatchObject({ code: 'slow', message: 'wait 4 s', retry: 4000 });
  });

  it('fail when the connection goes, but what can be repeated is sent again under the same cid', async () => {
    await open();
    const lost = socket.request({ t: 'moderate' }).catch((e: SocketError) => e.code);
    const said = socket.say('river-1', 'hello', 'c1');
    const again = server.next('hello').then(() => server.next('say'));
    server.answer = (f) => {
      if (f.t === 'hello') server.welcome();
      if (f.t === 'say') server.send({ t: 'said', id: f.id, cid: f.cid, mid: 'm', offset: 1, at: 0 });
    };
    server.drop();
    expect(await lost).toBe('offline');
    expect(await again).toMatchObject({ t: 'say', cid: 'c1', text: 'hello' });
    expect(await said).toMatchObject({ mid: 'm' });
  });
});

describe('rooms', () => {
  const answers = (more: (f: Frame) => void = () => undefined) => (f: Frame) => {
    if (f.t === 'hello') server.welcome({ rooms: f.rooms.map((r: { room: string }) => joined({ room: r.room, offset: 2, messages: [message(1), message(2)] })) });
    if (f.t === 'join') server.send({ t: 'joined', id: f.id, ...joined({ offset: 2, messages: [message(1), message(2)] }) });
    more(f);
  };

  it('are joined by hello when that is still to come', async () => {
    server.answer = answers();
    const j = socket.join('river-1');
    await open();
    expect(server.frames[0]!.rooms).toEqual([{ room: 'river-1' }]);
    expect(await j).toMatchObject({ offset: 2 });
  });

  it('resume from the last message, and tell each message once', async () => {
    server.answer = answers();
    const texts: string[] = [];
    socket.on('messages', (f) => texts.push(...f.messages.map((m: { text: string }) => m.text)));
    await open();
    await socket.join('river-1');
    const third = once('messages');
    server.send({ t: 'messages', room: 'river-1', offset: 3, messages: [message(2), message(3)] });
    await third;
    const resumed = once('joined');
    server.answer = (f) => {
      expect(f.rooms).toEqual([{ room: 'river-1', epoch: 'e1', offset: 3 }]);
      server.welcome({ rooms: [joined({ offset: 5, resumed: true, messages: [message(3), message(4), message(5)] })] });
    };
    server.drop();
    await resumed;
    await vi.waitFor(() => expect(texts).toEqual(['m1', 'm2', 'm3', 'm4', 'm5']));
  });

  it('say when what is there must be thrown away', async () => {
    server.answer = answers();
    await open();
    await socket.join('river-1');
    const reset = once('reset');
    server.answer = (f) => f.t === 'hello' && server.welcome({ rooms: [joined({ epoch: 'e2', offset: 9, messages: [message(9)] })] });
    server.drop();
    expect(await reset).toMatchObject({ room: 'river-1' });
  });

  it('are not joined again once left', async () => {
    server.answer = answers((f) => f.t === 'leave' && server.send({ t: 'left', id: f.id, room: f.room }));
    await open();
    await socket.join('river-1');
    await socket.leave('river-1');
    const hello = server.next('hello');
    server.drop();
    expect((await hello).rooms).toEqual([]);
  });
});

it('subscribes to streams again after a reconnect', async () => {
  server.answer = (f) => {
    if (f.t === 'hello') server.welcome();
    if (f.t === 'watch') server.send({ t: 'watching', id: f.id, streams: [] });
  };
  await open();
  const first = once('watching');
  socket.watch(['*']);
  await first;
  const second = once('watching');
  server.drop();
  await second;
  expect(server.frames.filter((f) => f.t === 'watch').map((f) => f.streams)).toEqual([['*'], ['*']]);
});

describe('staying', () => {
  /** A wire without a network, so that time can be the test's own. */
  class Still {
    sent: Frame[] = [];
    onopen: ((e: never) => void) | null = null;
    onmessage: ((e: never) => void) | null = null;
    onclose: ((e: never) => void) | null = null;
    onerror: ((e: never) => void) | null = null;
    closed = 0;
    send(text: string) {
      this.sent.push(JSON.parse(text));
    }
    close(code = 1000) {
      this.closed = code;
    }
    hear(f: object) {
      this.onmessage!({ data: JSON.stringify(f) } as never);
    }
  }
  let wires: Still[];

  beforeEach(() => {
    vi.useFakeTimers();
    wires = [];
    socket = new Socket({ url: 'ws://nowhere', random: () => 0.5, connect: () => (wires.push(new Still()), wires.at(-1)!) });
    socket.start();
    wires[0]!.onopen!(undefined as never);
    wires[0]!.hear({ t: 'welcome', heartbeat: 10_000, you: {}, rooms: [] });
  });
  afterEach(() => vi.useRealTimers());

  it('pings when it has said nothing for a heartbeat', () => {
    vi.advanceTimersByTime(10_500);
    expect(wires[0]!.sent.at(-1)).toEqual({ t: 'ping' });
  });

  it('reconnects when it has heard nothing for two and a half', () => {
    vi.advanceTimersByTime(26_500);
    expect(wires[0]!.closed).toBe(4408);
    expect(wires).toHaveLength(2);
  });

  it('comes back after the time that go-away gives', () => {
    wires[0]!.hear({ t: 'go-away', after: 1000, jitter: 4000 });
    wires[0]!.onclose!({ code: 1001 } as never);
    vi.advanceTimersByTime(2900);
    expect(wires).toHaveLength(1);
    vi.advanceTimersByTime(200);
    expect(wires).toHaveLength(2);
  });

  it('leaves a server that found it too loud alone for ten seconds', () => {
    wires[0]!.onclose!({ code: 4429 } as never);
    vi.advanceTimersByTime(9900);
    expect(wires).toHaveLength(1);
    vi.advanceTimersByTime(200);
    expect(wires).toHaveLength(2);
  });
});

it('waits longer and longer, up to half a minute', () => {
  expect([0, 1, 2, 3, 7, 40].map((n) => reconnectDelay(n, () => 1))).toEqual([0, 500, 1000, 2000, 30_000, 30_000]);
  expect(reconnectDelay(1, () => 0)).toBe(250);
});

it('makes message ids that differ', () => {
  expect(new Set(Array.from({ length: 1000 }, newID)).size).toBe(1000);
});
