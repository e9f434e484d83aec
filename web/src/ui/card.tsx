import { signal, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { isLive, watching, type Stream } from '../api';
import type { View } from '../player/engine';
import { Badge } from './badge';
import { count, t } from './lang';
import { Poster } from './poster';

/** The stream whose preview plays: one at a time. */
const previewed = signal<string | null>(null);

/** ms that the pointer must rest on a card: who only passes over starts nothing. */
const dwell = 160;

/** One stream of the wall: its picture, which plays on hover or at the first tap, its name, how it is, who watches. */
export function Card({ of: s }: { of: Stream }) {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const on = previewed.value === s.name && isLive(s);
  const start = (e: PointerEvent) => {
    if (e.pointerType === 'touch') return;
    timer.current = setTimeout(() => (previewed.value = s.name), dwell);
  };
  const stop = () => {
    clearTimeout(timer.current);
    if (previewed.value === s.name) previewed.value = null;
  };
  /** A tap plays the preview first; the next one opens. */
  const click = (e: MouseEvent) => {
    if ((e as PointerEvent).pointerType !== 'touch' || on || !isLive(s)) return;
    e.preventDefault();
    previewed.value = s.name;
  };
  useEffect(() => stop, []);
  return (
    <a class="card" href={`/watch/${s.name}`} data-live={isLive(s)} onPointerEnter={start} onPointerLeave={(e) => e.pointerType !== 'touch' && stop()} onClick={click}>
      <div class="picture">
        <Poster name={s.name} live={isLive(s)} />
        {on && <Preview name={s.name} />}
      </div>
      <div class="label">
        <h3>{s.title || s.name}</h3>
        {watching(s) > 0 && <span class="watching num" title={t('hub.watching', { n: count(watching(s)) })}><Eye />{count(watching(s))}</span>}
        <Badge of={s} />
      </div>
    </a>
  );
}

function Preview({ name }: { name: string }) {
  const playing = useSignal(false);
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    ref.current!.addEventListener('change', (e) => (playing.value = (e as CustomEvent<View>).detail.state === 'playing'));
  }, []);
  return (
    <>
      <watershed-player ref={ref} stream={name} controls="none" fit="cover" data-playing={playing.value} />
      <span class="hint">{t('hub.preview')}</span>
    </>
  );
}

function Eye() {
  return (
    <svg viewBox="0 0 20 20" width="15" height="15" fill="none" stroke="currentColor" stroke-width="1.6" aria-hidden="true">
      <path d="M1.8 10S4.6 4.8 10 4.8 18.2 10 18.2 10 15.4 15.2 10 15.2 1.8 10 1.8 10z" /><circle cx="10" cy="10" r="2.4" />
    </svg>
  );
}
