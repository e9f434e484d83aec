import { useEffect, useRef } from 'preact/hooks';

/** A picture of this device, without sound. One's own face is shown as in a mirror. */
export function Live({ media, mirror, muted = true }: { media: MediaStream | null; mirror?: boolean; muted?: boolean }) {
  const ref = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const v = ref.current!;
    if (v.srcObject !== media) v.srcObject = media;
    if (media) v.play().catch(() => undefined);
  }, [media]);
  return <video ref={ref} muted={muted} playsInline autoPlay data-mirror={mirror || undefined} />;
}
