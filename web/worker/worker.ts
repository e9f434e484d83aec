/**
 * A Cloudflare Worker before a Watershed node: it checks path tokens, and takes them out of the addresses that the cache sees.
 *
 *     /t/{token}/hls/{stream}/...  ->  /hls/{stream}/...   if the token is good for the stream, else 401 or 403
 *     /hls/{stream}/...            ->  the same            for public streams; the node answers 401 for others
 *
 * So everybody shares one copy, and the address of the sub-request is the cache's key (`cf.cacheEverything`); how long it is kept is the node's
 * Cache-Control. The query goes along, reduced to the delivery directives in one order: a playlist reload that the node holds is one fetch
 * for all who wait. The node does not see the viewers' tokens; for streams that are not public the Worker has a path token of its own
 * (EDGE_TOKEN), which is the same for all viewers.
 *
 * The form of a token is in signaling/token/path.go, its test vectors in signaling/token/testdata/path.json: this file passes them in workerd, the
 * runtime that Cloudflare publishes. The real Cloudflare, its cache and its request collapsing have not been tested.
 */

import { readKeys, verify, type Verdict } from './token';

export interface Env {
  /** Address of the node, as https://node.example. It must be another name than the Worker's. */
  ORIGIN: string;
  /** Keys by id, base64url, one line each: `k1=V7-W...`. A key that is withdrawn is left out. The node derives them from its secret (PathKey in signaling/token/path.go). */
  PATH_KEYS: string;
  /** A path token that the Worker reads streams with which are not public; "" if there are none. It must outlive the viewers': rotate it. */
  EDGE_TOKEN?: string;
}

/** What counts of a query, in the one order that the cache shall see. Media have none. */
function reduced(path: string, query: URLSearchParams): string {
  if (!/\.(m3u8|mpd)$|\/clip\.mp4$/.test(path)) return '';
  const kept = ['_HLS_msn', '_HLS_part', '_HLS_skip', 'from', 'to'].filter((d) => query.has(d));
  return kept.length ? `?${kept.map((d) => `${d}=${encodeURIComponent(query.get(d) ?? '')}`).join('&')}` : '';
}

const refusals: Record<Exclude<Verdict, 'ok'>, [number, string]> = {
  form: [401, 'this is not a path token'],
  key: [401, "the token's key is not known, or was withdrawn"],
  forged: [401, "the token's signature is wrong"],
  expired: [401, 'the token has expired; get a new one'],
  stream: [403, 'the token is for another stream'],
};

function refuse(status: number, detail: string): Response {
  const title = { 401: 'Not signed in', 403: 'Not allowed', 404: 'Not found', 405: 'Method not allowed' }[status];
  return new Response(JSON.stringify({ type: 'about:blank', title, status, detail }), {
    status,
    headers: { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store', 'Access-Control-Allow-Origin': '*' },
  });
}

function preflight(): Response {
  return new Response(null, {
    status: 204,
    headers: {
      'Access-Control-Allow-Origin': '*',
      'Access-Control-Allow-Methods': 'GET, HEAD, OPTIONS',
      'Access-Control-Allow-Headers': 'Range, Authorization',
      'Access-Control-Max-Age': '86400',
    },
  });
}

/** Asks the cache, and it the node. Of the viewer's headers only Range goes along. */
function ask(request: Request, address: string): Promise<Response> {
  const headers = new Headers();
  for (const name of ['Range', 'Accept-Encoding']) {
    const value = request.headers.get(name);
    if (value) headers.set(name, value);
  }
  return fetch(address, { method: request.method, headers, cf: { cacheEverything: true } } as RequestInit);
}

/** Nothing but what names are made of: an escaped ~ or / would be another stream's name for the node than for the token. */
const plain = /^\/(?:hls|dash)\/([a-z0-9._~+-]+)\/[A-Za-z0-9._~+/-]+$/;

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    if (request.method === 'OPTIONS') return preflight();
    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405, 'read with GET');
    const url = new URL(request.url);
    const [, token, path = ''] = /^\/t\/([^/]*)(\/.*)$/.exec(url.pathname) ?? [undefined, undefined, url.pathname];
    const stream = plain.exec(path)?.[1];
    if (!stream) return refuse(404, "there is nothing here; a stream's playlist is /hls/{stream}/index.m3u8");
    let origin = env.ORIGIN.replace(/\/$/, '');
    if (token !== undefined) {
      const verdict = await verify(token, stream, Math.floor(Date.now() / 1000), readKeys(env.PATH_KEYS));
      if (verdict !== 'ok') return refuse(...refusals[verdict]);
      if (env.EDGE_TOKEN) origin += `/t/${env.EDGE_TOKEN}`;
    }
    return ask(request, origin + path + reduced(path, url.searchParams));
  },
};
