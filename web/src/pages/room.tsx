/** /room/{room}: people who see, hear and read each other. */
import '../style/app.css';
import '../style/room.css';
import { effect, signal, untracked } from '@preact/signals';
import { render } from 'preact';
import { Icon } from '../room/icons';
import { Lobby, Toggles } from '../room/lobby';
import { Room } from '../room/room';
import { camera, closeDevices, screen, share, unshare } from '../room/self';
import { Stage } from '../room/stage';
import { Bar } from '../ui/bar';
import { ChatPanel } from '../ui/chat-panel';
import { count, t } from '../ui/lang';
import { keep, myName, socket, status } from '../ui/session';

const name = decodeURIComponent(location.pathname.split('/')[2] ?? '');
const room = signal<Room | null>(null);
/** why one is out: by one's own will, or put out */
const left = signal<'' | 'left' | 'removed'>('');
const chatOpen = signal(matchMedia('(min-width: 1000px)').matches);

function join(show: boolean): void {
  keep('name', myName.value.trim());
  socket.become({ name: myName.value.trim() });
  if (!show) closeDevices();
  left.value = '';
  room.value = new Room(socket, name);
  socket.start();
}

function leave(why: 'left' | 'removed' = 'left'): void {
  room.value?.leave();
  room.value = null;
  left.value = why;
  closeDevices();
}

/** What goes out follows what is open. */
effect(() => {
  const [r, face, shared] = [room.value, camera.value, screen.value];
  untracked(() => {
    void r?.camera.show(face);
    void r?.screen.show(shared);
  });
});

/** Who was put out is not filmed any longer. */
effect(() => {
  if (room.value?.chat.left.value?.code === 'removed') untracked(() => leave('removed'));
});

addEventListener('pagehide', () => room.value?.leave());

function Page() {
  const r = room.value;
  if (left.value) return <Left />;
  if (!r) return <><header class="bar"><Bar /></header><Lobby name={name} join={join} /></>;
  return (
    <div class="room" data-chat={chatOpen.value}>
      <header class="bar">
        <Bar><h1 class="room-name">{name}</h1><span class="soft num">{t('room.people', { n: count(r.chat.count.value) })}</span></Bar>
      </header>
      <main><Stage room={r} /><Trouble room={r} /></main>
      <Controls room={r} />
      {chatOpen.value && <aside class="chat"><ChatPanel chat={r.chat} /></aside>}
    </div>
  );
}

function Controls({ room: r }: { room: Room }) {
  const sharing = screen.value !== null;
  const canShare = 'mediaDevices' in navigator && 'getDisplayMedia' in navigator.mediaDevices;
  const label = t(sharing ? 'room.screen.off' : 'room.screen');
  return (
    <nav class="controls">
      <Toggles changed={() => r.camera.mute()} />
      {canShare && (
        <button type="button" class="round" data-on={sharing || undefined} aria-label={label} title={label} onClick={() => (sharing ? unshare() : void share(unshare))}>
          <Icon name="screen" />
        </button>
      )}
      <button type="button" class="round" data-on={chatOpen.value || undefined} aria-pressed={chatOpen.value} aria-label={t('room.chat')} title={t('room.chat')} onClick={() => (chatOpen.value = !chatOpen.value)}>
        <Icon name="chat" />
      </button>
      <button type="button" class="round hang-up" aria-label={t('room.leave')} title={t('room.leave')} onClick={() => leave()}><Icon name="leave" /></button>
    </nav>
  );
}

/** What does not work just now, in words. */
function Trouble({ room: r }: { room: Room }) {
  const refused = r.camera.refused.value ?? r.screen.refused.value;
  const gone = r.chat.left.value;
  const s = status.value;
  const text = gone
    ? gone.text
    : s.state === 'waiting' || (s.state === 'connecting' && r.chat.joined.value) ? t('room.lost')
    : s.state === 'closed' ? s.reason || String(s.code)
    : !r.chat.joined.value ? t('room.joining')
    : refused ? (refused.code === 'forbidden' || refused.code === 'unauthorized' ? t('room.publish-denied') : refused.code === 'full' ? t('room.full') : refused.message)
    : r.notice.value;
  return text ? <p class="trouble" role="status">{text}</p> : null;
}

function Left() {
  return (
    <>
      <header class="bar"><Bar /></header>
      <main class="note">
        <h1>{t(left.value === 'removed' ? 'room.removed' : 'room.left')}</h1>
        <p><button type="button" class="button" onClick={() => (left.value = '')}>{t('room.rejoin')}</button></p>
      </main>
    </>
  );
}

const app = document.getElementById('app')!;
app.replaceChildren();
render(<Page />, app);
