import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Key } from '../i18n/en';
import type { Published } from '../socket';
import { t, tOr } from '../ui/lang';
import { myName, welcome } from '../ui/session';
import { fit } from './layout';
import { slots, type Room } from './room';
import { inView } from './speaking';
import { camera, cameraOn, microphoneOn } from './self';
import { Tile } from './tile';

const gap = 10;

/** Everybody who shows something, in the largest equal tiles; a shared screen takes the stage and the people stand beside it. */
export function Stage({ room }: { room: Room }) {
  const box = useRef<HTMLDivElement>(null);
  const size = useSignal({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const watch = new ResizeObserver(([e]) => (size.value = { width: e!.contentRect.width, height: e!.contentRect.height }));
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);
  const others = room.others.value;
  const presented = others.find((p) => p.source === 'screen' || p.source === 'stream');
  const people = others.filter((p) => p !== presented);
  const self = camera.value !== null;
  const most = slots - (others.filter((p) => p.source !== 'camera').length);
  const n = Math.min(people.length, most + 1) + (self ? 1 : 0);
  const { width, height } = size.value;
  const aside = width > height * 1.2;
  const rest = presented ? (aside ? { width: Math.min(240, width / 4), height } : { width, height: Math.min(140, height / 4) }) : { width, height };
  const grid = fit(n, rest.width, rest.height, gap, 16 / 9, presented ? 16 / 9 : undefined);
  const shown = inView(people, grid.width < 90 ? 3 : most, room.recent.value);
  return (
    <div class="stage-box" ref={box} data-presented={presented ? (aside ? 'aside' : 'below') : undefined}>
      {presented && <div class="presented"><Other room={room} of={presented} contain /></div>}
      {n > 0 && (
        <div class="grid" style={{ '--columns': grid.columns, '--w': `${grid.width}px`, '--h': `${grid.height}px` }}>
          {self && <Me room={room} />}
          {shown.map((p) => <Other key={p.stream} room={room} of={p} />)}
          {shown.length < people.length && <p class="more num">{t('room.more', { n: people.length - shown.length })}</p>}
        </div>
      )}
      {n === 0 && !presented && <p class="hush">{t('room.empty')}</p>}
      {others.length === 0 && n > 0 && <p class="alone">{t('room.alone')}</p>}
    </div>
  );
}

function Me({ room }: { room: Room }) {
  const you = welcome.value?.you;
  const muted = room.published.value.get(room.camera.stream.value ?? '')?.muted?.audio; // by a moderator, too
  return <Tile media={camera.value} name={you?.name || myName.value} me silent={!microphoneOn.value || muted} speaking={room.speakers.value.includes(you?.user ?? '')} dark={!cameraOn.value || !camera.value?.getVideoTracks().length} />;
}

function Other({ room, of: p, contain }: { room: Room; of: Published; contain?: boolean }) {
  const seen = room.viewing.seen.value.get(p.stream);
  const off = seen && seen.state && seen.state !== 'live' && seen.state !== 'degraded';
  return (
    <Tile
      media={seen?.media ?? null}
      name={p.source === 'screen' ? t('room.presenting', { name: p.name }) : p.name}
      silent={p.source !== 'stream' && (p.muted?.audio || !p.audio)}
      dark={!p.video || p.muted?.video}
      speaking={p.source === 'camera' && room.speakers.value.includes(p.user)}
      contain={contain}
      waiting={off ? tOr(`state.${seen.state}`, seen.state) : undefined}
    >
      {p.user && room.chat.joined.value?.can.moderate && <Tools room={room} of={p} />}
    </Tile>
  );
}

/** What a moderator can do with somebody who shows something. */
function Tools({ room, of: p }: { room: Room; of: Published }) {
  const box = useRef<HTMLDetailsElement>(null);
  const act = (todo: string) => {
    box.current!.open = false;
    void room.moderate(todo, p.user);
  };
  const tool = (what: Key, todo: string) => <button type="button" onClick={() => act(todo)}>{t(what)}</button>;
  return (
    <details class="tile-tools" ref={box} onKeyDown={(e) => e.key === 'Escape' && (box.current!.open = false)}>
      <summary aria-label={t('room.tools', { name: p.name })} title={t('room.tools', { name: p.name })}>⋯</summary>
      <div>
        {p.muted?.audio ? tool('room.tool.unmute', 'unmute') : tool('room.tool.mute', 'mute')}
        {tool('room.tool.stop', 'unpublish')}
        {tool('room.tool.remove', 'remove')}
      </div>
    </details>
  );
}
