/** This page's socket, as the visitor: token, name and guest key are kept between visits. */
import { signal } from '@preact/signals';
import { token } from '../player/token';
import { Socket, type Status, type Welcome } from '../socket';
import { doubt } from './doubt';
import { lang } from './lang';

function kept(key: string): string | undefined {
  try {
    return localStorage.getItem(`watershed.${key}`) ?? undefined;
  } catch {
    return undefined;
  }
}

export function keep(key: string, value: string): void {
  try {
    localStorage.setItem(`watershed.${key}`, value);
  } catch {
    // it holds for this page
  }
}

/** The close that means: this token is not taken. */
export const unauthorized = 4401;

export const myName = signal(kept('name') ?? '');
export const status = signal<Status>({ state: 'connecting' });
export const welcome = signal<Welcome | null>(null);

export const socket = new Socket({
  url: `${location.origin.replace(/^http/, 'ws')}/ws`,
  token: token(),
  name: myName.value,
  lang: lang.peek(),
  guest: kept('guest'),
});

socket.on('status', (f) => {
  status.value = f.status;
  if (f.status.code === unauthorized) void doubt();
});
socket.on('welcome', () => {
  const w = socket.welcome!;
  welcome.value = w;
  if (w.guest) keep('guest', w.guest);
});

addEventListener('online', () => socket.wake());
document.addEventListener('visibilitychange', () => document.hidden || socket.wake());

/** Takes another name, from the next frame on. */
export function rename(name: string): void {
  myName.value = name;
  keep('name', name);
  socket.become({ name });
}
