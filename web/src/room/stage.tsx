import { useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import type { Published } from '../socket';
import { t, tOr } from '../ui/lang';
import { myName, welcome } from '../ui/session';
import { fit } from './layout';
import type { Room } from './room';
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
  const n = people.length + (self ? 1 : 0);
  const { width, height } = size.value;
  const aside = width > height * 1.2;
  const rest = presented ? (aside ? { width: Math.min(240, width / 4), height } : { width, height: Math.min(140, height / 4) }) : { width, height };
  const grid = fit(n, rest.width, rest.height, gap, 16 / 9, presented ? 16 / 9 : undefined);
  const shown = grid.width < 90 ? people.slice(0, 3) : people;
  return (
    <div class="stage-box" ref={box} data-presented={presented ? (aside ? 'aside' : 'below') : undefined}>
      {presented && <div class="presented"><Other room={room} of={presented} contain /></div>}
      {n > 0 && (
        <div class="grid" style={{ '--columns': grid.columns, '--w': `${grid.width}px`, '--h': `${grid.height}px` }}>
          {self && <Me />}
          {shown.map((p) => <Other key={p.stream} room={room} of={p} />)}
          {shown.length < people.length && <p class="more num">{t('room.more', { n: people.length - shown.length })}</p>}
        </div>
      )}
      {n === 0 && !presented && <p class="hush">{t('room.empty')}</p>}
      {others.length === 0 && n > 0 && <p class="alone">{t('room.alone')}</p>}
    </div>
  );
}

function Me() {
  const name = welcome.value?.you.name || myName.value;
  return <Tile media={camera.value} name={name} me silent={!microphoneOn.value} dark={!cameraOn.value || !camera.value?.getVideoTracks().length} />;
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
      speaking={room.viewing.loud.value.includes(p.stream)}
      contain={contain}
      waiting={off ? tOr(`state.${seen.state}`, seen.state) : undefined}
    />
  );
}
