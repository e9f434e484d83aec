import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { t } from '../ui/lang';
import { Icon } from './icons';

/** One picture of the grid, with the person's name; their first letter where there is no picture. */
export function Tile({ media, name, me, silent, dark, speaking, contain, waiting, children }: {
  media: MediaStream | null;
  name: string;
  /** this person: mirrored, without sound */
  me?: boolean;
  /** the microphone is off */
  silent?: boolean;
  /** the camera is off */
  dark?: boolean;
  speaking?: boolean;
  /** the whole picture must be seen, as of a screen */
  contain?: boolean;
  /** what is waited for, in words */
  waiting?: string;
  children?: ComponentChildren;
}) {
  const ref = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const v = ref.current!;
    if (v.srcObject !== media) v.srcObject = media;
    v.play().catch(() => undefined);
  }, [media]);
  return (
    <figure class="tile" data-speaking={speaking || undefined} data-dark={dark || undefined}>
      <video ref={ref} autoPlay playsInline muted={me} data-mirror={(me && !contain) || undefined} data-contain={contain || undefined} />
      {dark && <span class="letter" aria-hidden="true">{[...name][0]?.toUpperCase()}</span>}
      {waiting && <span class="waits">{waiting}</span>}
      <figcaption>
        {silent && <span class="off" role="img" aria-label={t('room.mic.off')}><Icon name="mic-off" /></span>}
        <span>{me ? `${name} (${t('you')})` : name}</span>
      </figcaption>
      {children}
    </figure>
  );
}
