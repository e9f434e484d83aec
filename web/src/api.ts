/** The REST API, as far as pages use it. Shapes are those of /api/v1/openapi.json. */
import { token } from './player/token';

export interface Layer {
  label: string;
  codec: string;
  width: number;
  height: number;
  fps: number;
  bitrate: number;
}

export interface Stream {
  name: string;
  title?: string;
  public: boolean;
  state: 'idle' | 'starting' | 'live' | 'degraded' | 'stalled' | 'offline';
  reason: string;
  message: string;
  /** ms since 1970 of the last change of state */
  since: number;
  viewers: Record<string, number>;
  /** people, over all protocols */
  watching?: number;
  tracks: { kind: 'video' | 'audio'; layers: Layer[] }[];
}

/** An answer that is no success: RFC 9457's words where the server gave them. */
export class APIError extends Error {
  constructor(readonly status: number, text: string) {
    super(text);
  }
}

/** Asks the API as the visitor. @param path below /api/v1 */
export async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  const headers = new Headers(init.headers);
  const who = token();
  if (who) headers.set('Authorization', `Bearer ${who}`);
  const r = await fetch(`/api/v1${path}`, { ...init, headers });
  if (!r.ok) {
    const problem = await r.json().catch(() => ({}));
    throw new APIError(r.status, problem.detail || problem.title || r.statusText);
  }
  return r.json();
}

export function watching(s: Stream): number {
  return s.watching ?? Object.values(s.viewers ?? {}).reduce((a, b) => a + b, 0);
}

export function isLive(s: Stream): boolean {
  return s.state === 'live' || s.state === 'degraded';
}
