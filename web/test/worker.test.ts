/** The Worker in workerd, the runtime that Cloudflare publishes, before an origin that notes what it is asked. Cloudflare's cache is not in it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { build } from 'vite';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

const vectors = JSON.parse(readFileSync('../signaling/token/testdata/path.json', 'utf8'));
const keys = Object.entries(vectors.keys as Record<string, string>).map(([kid, key]) => `${kid}=${key}`).join('\n');
const edgeToken = 'v1.k1.1.edge.edge';

let workerd: ChildProcess;
let base = '';
let folder = '';
let asked: IncomingMessage[] = [];
const origin = createServer((req, res) => {
  asked.push(req);
  res.setHeader('Cache-Control', 'public, max-age=60');
  res.end('from the origin');
});

function config(port: number): string {
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-01-01",
      bindings = [
        (name = "ORIGIN", text = "http://node.test"),
        (name = "PATH_KEYS", text = ${JSON.stringify(keys)}),
        (name = "EDGE_TOKEN", text = "${edgeToken}"),
      ],
      globalOutbound = "origin",
    )),
    (name = "origin", external = (address = "127.0.0.1:${port}", http = (cfBlobHeader = "CF-Blob"))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")],
);`;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'worker-'));
  await build({ configFile: false, logLevel: 'error', publicDir: false, build: { outDir: folder, emptyOutDir: false, minify: false, lib: { entry: 'test/worker/entry.ts', formats: ['es'], fileName: () => 'worker.js' } } });
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  writeFileSync(join(folder, 'config.capnp'), config((origin.address() as AddressInfo).port));
  workerd = spawn('node_modules/@cloudflare/workerd-linux-64/bin/workerd', ['serve', join(folder, 'config.capnp'), '--control-fd=3'], { stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
  const control = workerd.stdio[3] as Readable;
  const [line] = await Promise.race([once(control, 'data'), once(workerd, 'exit').then(() => Promise.reject(new Error('workerd ended')))]);
  base = `http://127.0.0.1:${JSON.parse(String(line)).port}`;
}, 60_000);

afterAll(async () => {
  const ended = workerd && once(workerd, 'exit');
  workerd?.kill('SIGKILL');
  await ended;
  origin.close();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(() => {
  asked = [];
});

/** A token of the test's own, as the node writes it. */
function mint(streams: string, seconds = 60): string {
  const body = `v1.k1.${Math.floor(Date.now() / 1000) + seconds}.${Buffer.from(streams).toString('base64url')}`;
  return `${body}.${createHmac('sha256', Buffer.from(vectors.keys.k1, 'base64url')).update(body).digest('base64url')}`;
}

test('the vectors of the Go code', async () => {
  const answer = await (await fetch(`${base}/test`, { method: 'POST', body: JSON.stringify(vectors) })).json();
  const tokens = vectors.tokens as { name: string; verdict: string }[];
  expect(tokens.map((t, i) => [t.name, answer.verdicts[i]])).toEqual(tokens.map((t) => [t.name, t.verdict]));
  expect(answer.matches).toEqual(vectors.match.map((m: { match: boolean }) => m.match));
});

test('two viewers with tokens of their own ask for one address', async () => {
  for (const streams of ['river-1', 'river*,lake#default/7fq3']) {
    const res = await fetch(`${base}/t/${mint(streams)}/hls/river-1/v0.m3u8?_HLS_part=2&x=${streams.length}&_HLS_msn=7`);
    expect([res.status, await res.text(), res.headers.get('Cache-Control')]).toEqual([200, 'from the origin', 'public, max-age=60']);
  }
  expect(asked.map((r) => r.url)).toEqual(Array(2).fill(`/t/${edgeToken}/hls/river-1/v0.m3u8?_HLS_msn=7&_HLS_part=2`));
  expect(asked.map((r) => JSON.parse(String(r.headers['cf-blob'])).cacheEverything)).toEqual([true, true]);
});

test('public streams need no token, and get none', async () => {
  await fetch(`${base}/hls/river-1/e/v0/7.m4s?session=3`, { headers: { Range: 'bytes=0-9', Authorization: 'Bearer x', Cookie: 'a=b' } });
  expect(asked.map((r) => [r.url, r.headers.range, r.headers.authorization, r.headers.cookie])).toEqual([['/hls/river-1/e/v0/7.m4s', 'bytes=0-9', undefined, undefined]]);
});

test.each([
  ['another stream', () => `/t/${mint('river-2')}/hls/river-1/index.m3u8`, 403],
  ['expired', () => `/t/${mint('river-1', -1)}/hls/river-1/index.m3u8`, 401],
  ['forged', () => `/t/${mint('river-1').replace('.k1.', '.k2.')}/hls/river-1/index.m3u8`, 401],
  ['empty', () => '/t//hls/river-1/index.m3u8', 401],
  ['an escaped name of another tenant', () => `/t/${mint('river*')}/hls/river%7Ex/index.m3u8`, 404],
  ['an escaped way up', () => `/t/${mint('river-1')}/hls/river-1/..%2friver-2/index.m3u8`, 404],
  ['two tokens', () => `/t/${mint('river-1')}/t/${mint('river-1')}/hls/river-1/index.m3u8`, 404],
  ['the API', () => '/api/v1/streams', 404],
])('refused, and the origin not asked: %s', async (_, path, status) => {
  const res = await fetch(base + path());
  expect([res.status, res.headers.get('Cache-Control'), asked.length]).toEqual([status, 'no-store', 0]);
});

test('browsers may ask from anywhere', async () => {
  const res = await fetch(`${base}/t/x/hls/river-1/index.m3u8`, { method: 'OPTIONS' });
  expect([res.status, res.headers.get('Access-Control-Allow-Origin')]).toEqual([204, '*']);
  expect((await fetch(`${base}/hls/river-1/index.m3u8`, { method: 'POST' })).status).toBe(405);
});
