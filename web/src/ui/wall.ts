/** All streams that the visitor may see, kept up to date: REST first, then the socket's events, REST again while the socket is away. */
import { computed, signal } from '@preact/signals';
import { APIError, ask, isLive, type Stream } from '../api';
import { socket, status } from './session';

export const streams = signal<Map<string, Stream> | null>(null);
export const failure = signal<APIError | Error | null>(null);
/** the list may be old: neither socket nor REST answers */
export const stale = signal(false);

/** How long the list is not asked for again without a socket, in ms. */
const pollEvery = 10_000;

export const list = computed(() => [...(streams.value?.values() ?? [])].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true })));
export const liveCount = computed(() => list.value.filter(isLive).length);

function replace(all: Stream[]): void {
  streams.value = new Map(all.map((s) => [s.name, s]));
  failure.value = null;
  stale.value = false;
}

function change(edit: (m: Map<string, Stream>) => void): void {
  const next = new Map(streams.value ?? []);
  edit(next);
  streams.value = next;
}

export async function load(): Promise<void> {
  try {
    replace((await ask<{ streams: Stream[] }>('/streams')).streams ?? []);
  } catch (e) {
    failure.value = e as Error;
    stale.value = streams.value !== null;
  }
}

export function follow(): void {
  socket.on('watching', (f) => replace(f.streams));
  socket.on('stream', (f) => change((m) => m.set(f.stream.name, f.stream)));
  socket.on('stream-gone', (f) => change((m) => m.delete(f.name)));
  socket.watch(['*']);
  socket.start();
  void load();
  setInterval(() => status.value.state !== 'open' && !document.hidden && load(), pollEvery);
}
