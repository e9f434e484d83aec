/** /watch/{stream}: the player, what it shows, and the chat of the stream's room. The server has rendered player and title already. */
import '../player/here';
import '../style/app.css';
import '../style/watch.css';
import { effect, signal } from '@preact/signals';
import { render, type ComponentChild } from 'preact';
import { ask, isLive, watching, type Stream } from '../api';
import type { View } from '../player/engine';
import { Badge } from '../ui/badge';
import { Bar } from '../ui/bar';
import { Chat } from '../ui/chat';
import { ChatPanel } from '../ui/chat-panel';
import { doubt } from '../ui/doubt';
import { count, lang, t } from '../ui/lang';
import { Share } from '../ui/share';
import { socket } from '../ui/session';

const name = decodeURIComponent(location.pathname.split('/')[2] ?? '');
const stream = signal<Stream | null>(null);
const player = document.querySelector('watershed-player')! as HTMLElement & { status?: { state: string; reason?: string }; press(e: KeyboardEvent): boolean };
const title = document.querySelector('h1')?.textContent ?? name;
const chat = new Chat(socket, name);

function learn(s: Stream): void {
  stream.value = s;
  player.status = s;
}

function About() {
  const s = stream.value;
  const n = s ? Math.max(watching(s), chat.count.value) : chat.count.value;
  return (
    <>
      <div class="about-head">
        <h1>{s?.title || title}</h1>
        <Share name={name} />
      </div>
      <p class="about-line">
        {s && <Badge of={s} />}
        <span class="num">{t('watch.viewers', { n: count(n) })}</span>
        {s && isLive(s) && <Tracks of={s} />}
        <a href={`/room/${name}`}>{t('watch.room')}</a>
      </p>
    </>
  );
}

/** The video's size as its source sends it. */
function Tracks({ of: s }: { of: Stream }) {
  const best = s.tracks?.find((x) => x.kind === 'video')?.layers[0];
  return best ? <span class="num size">{best.height ? `${best.height}p · ${best.codec}` : best.codec}</span> : null;
}

/** Draws a part of the page in the place of what the server has put there. */
function fillIn(selector: string, content: ComponentChild): void {
  const place = document.querySelector(selector)!;
  place.replaceChildren();
  render(content, place);
}
effect(() => player.setAttribute('lang', lang.value));
fillIn('.bar', <Bar />);
fillIn('.about', <About />);
fillIn('aside', <ChatPanel chat={chat} />);
document.querySelector('aside')!.ariaBusy = 'false';

/** Keys that nothing on the page has taken are the player's, but those that scroll. */
addEventListener('keydown', (e) => {
  if (e.target === document.body && !/^Arrow(Up|Down)$/.test(e.key) && player.press(e)) e.preventDefault();
});

socket.on('watching', (f) => f.streams.forEach((s: Stream) => s.name === name && learn(s)));
socket.on('stream', (f) => f.stream.name === name && learn(f.stream));
socket.watch([name]);

/** Says by which way this page plays: then the room does not count it twice. */
let via = '';
function tellVia(now: string): void {
  via = now;
  socket.tell({ t: 'playing', room: name, via });
}
player.addEventListener('change', (e) => {
  const view = (e as CustomEvent<View>).detail;
  const now = view.state === 'playing' || view.state === 'waiting' ? view.via : '';
  if (now !== via) tellVia(now);
  if (view.failure === 'denied') void doubt();
});
socket.on('joined', () => tellVia(via));

/** The picture comes first: the socket and the API are asked when the offer has been answered, or after a moment. */
function begin(): void {
  socket.start();
  ask<Stream>(`/streams/${name}`).then((s) => (stream.value ??= s), () => undefined);
}
const soon = setTimeout(begin, 600);
player.addEventListener('change', function first(e) {
  if ((e as CustomEvent).detail.state === 'connecting') return;
  player.removeEventListener('change', first);
  clearTimeout(soon);
  begin();
});
