import { failureOf, type Failure } from './ladder';
import type { Target } from './transport';

/** Answer of POST /api/v1/streams/{s}/play. */
interface Play {
  urls?: { hls?: string };
}

/**
 * The playlist's address. A token never goes into a query: with one, the server is asked for an address that carries a path
 * token of its own.
 */
export async function playlist(t: Target): Promise<string | { failure: Failure; retryAfter: number }> {
  const open = `${t.server}/hls/${t.stream}/index.m3u8`;
  if (!t.token) return open;
  const r = await fetch(`${t.server}/api/v1/streams/${t.stream}/play`, { method: 'POST', headers: { Authorization: `Bearer ${t.token}` } });
  if (r.status === 404 || r.status === 405) return open; // the stream is public, or access is open: nothing to mint
  if (!r.ok) return { failure: failureOf(r.status), retryAfter: Number(r.headers.get('Retry-After')) * 1000 || 0 };
  const play: Play = await r.json();
  return play.urls?.hls ? new URL(play.urls.hls, t.server).href : open;
}
