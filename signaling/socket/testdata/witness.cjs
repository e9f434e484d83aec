// A client of watershed.v1 that shares nothing with the server but signaling/PROTOCOL.md: a second pair of eyes, and an example. Its only
// library is ws. Usage: node witness.cjs ws://HOST:PORT/ws. It prints what it saw, one line a step, and exits with 1 at the first surprise.
'use strict';
const assert = require('node:assert/strict');
const WebSocket = require('ws');

/** One person: comes back by itself, keeps each room's messages without loss or duplicates. */
class Client {
  constructor(url, hello) {
    Object.assign(this, { url, hello, rooms: new Map(), waiting: new Map(), heard: [], looking: [], next: 1 });
  }

  connect() {
    const rooms = [...this.rooms.values()].map(({ room, epoch, offset }) => ({ room, epoch, offset }));
    this.ws = new WebSocket(this.url, 'watershed.v1');
    this.ws.on('open', () => this.send({ t: 'hello', ...this.hello, rooms }));
    this.ws.on('message', (data) => this.take(JSON.parse(data)));
    this.ws.on('error', () => {}); // a close follows
    return this.until((f) => f.t === 'welcome');
  }

  send(frame) { this.ws.send(JSON.stringify(frame)); }

  /** Sends a request and waits for its answer, which may be an error frame. */
  ask(frame) {
    const id = this.next++;
    const answer = new Promise((resolve) => this.waiting.set(id, resolve));
    this.send({ ...frame, id });
    return answer;
  }

  take(f) {
    if (f.t === 'welcome') {
      this.you = f.you;
      if (f.guest) this.hello.guest = f.guest;
      f.rooms.forEach((j) => this.joined(j));
    }
    if (f.t === 'joined') this.joined(f);
    if (f.t === 'messages') this.keep(this.rooms.get(f.room), f);
    if (f.id !== undefined) this.waiting.get(f.id)?.(f);
    const i = this.looking.findIndex((l) => l.is(f));
    if (i >= 0) this.looking.splice(i, 1)[0].resolve(f);
    else this.heard.push(f);
  }

  joined(j) {
    const known = this.rooms.get(j.room);
    const room = j.resumed ? known : { room: j.room, messages: [] };
    this.rooms.set(j.room, Object.assign(room, { epoch: j.epoch, count: j.count }));
    this.keep(room, j);
  }

  keep(room, { offset, messages }) {
    for (const m of messages) {
      assert.ok(!(m.offset <= room.messages.at(-1)?.offset), `offset ${m.offset} came twice or late`);
      room.messages.push(m);
      if (m.kind === 'delete') room.messages = room.messages.filter((x) => x.mid !== m.target);
    }
    room.offset = offset;
  }

  /** Waits for a frame, among those already heard, too. */
  until(is) {
    const old = this.heard.findIndex(is);
    if (old >= 0) return Promise.resolve(this.heard.splice(old, 1)[0]);
    return new Promise((resolve) => this.looking.push({ is, resolve }));
  }

  async texts(room, n) {
    while (this.rooms.get(room).messages.length < n) await this.until((f) => f.t === 'messages');
    return this.rooms.get(room).messages.map((m) => m.text);
  }

  kill() { return new Promise((done) => { this.ws.on('close', done); this.ws.terminate(); }); }
}

async function main(url) {
  const room = 'river-1';
  const li = new Client(url, { name: 'Li' });
  const bo = new Client(url, { name: 'Bo' });
  await Promise.all([li.connect(), bo.connect()]);
  assert.deepEqual([li.you.name, li.you.guest, li.you.role], ['Li', true, 'viewer']);
  console.log('hello');

  assert.equal((await li.ask({ t: 'join', room })).t, 'joined');
  assert.equal((await bo.ask({ t: 'join', room })).count, 2);
  console.log('two in one room');

  const said = await li.ask({ t: 'say', room, cid: 'one', text: 'hello' });
  assert.equal(said.t, 'said');
  assert.deepEqual(await bo.texts(room, 1), ['hello']);
  assert.equal((await bo.ask({ t: 'say', room, cid: 'two', text: '你好' })).t, 'said');
  assert.deepEqual(await li.texts(room, 2), ['hello', '你好']);
  console.log('they talk');

  await bo.kill();
  await li.ask({ t: 'say', room, cid: 'three', text: 'are you there?' });
  const me = bo.you.user;
  await bo.connect();
  assert.equal(bo.you.user, me, 'a guest with its key is the same guest');
  assert.deepEqual(await bo.texts(room, 3), ['hello', '你好', 'are you there?']);
  console.log('resumed');

  const again = await li.ask({ t: 'say', room, cid: 'one', text: 'hello' });
  assert.equal(again.offset, said.offset);
  bo.send({ t: 'say', room, cid: 'x', text: 'x'.repeat(1 << 20) });
  assert.equal((await bo.until((f) => f.t === 'error')).code, 'too-large');
  assert.equal((await bo.ask({ t: 'ping' })).t, 'pong');
  console.log('refused kindly');

  li.ws.close(1000);
  bo.ws.close(1000);
}

main(process.argv[2]).catch((e) => { console.error(e); process.exit(1); });
