import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { token } from '../player/token';

/** ms between two pictures of one card that is in sight. The server makes two a second for everybody. */
const refreshEvery = 15_000;
/** ms until a live stream without a picture is asked for one again */
const retryEvery = 3_000;

/** Fetches and decodes a stream's still, so that it can replace the one before without a flash. */
async function fetchStill(name: string, signal: AbortSignal): Promise<string> {
  const who = token();
  const r = await fetch(`/api/v1/streams/${name}/snapshot`, { headers: who ? { Authorization: `Bearer ${who}` } : {}, signal });
  // A drawing is the server's placeholder: ours is in the page's own colours.
  if (!r.ok || r.headers.get('Content-Type')?.startsWith('image/svg')) throw new Error('no picture');
  const url = URL.createObjectURL(await r.blob());
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
    signal.throwIfAborted();
  } catch (e) {
    URL.revokeObjectURL(url);
    throw e;
  }
  return url;
}

/** A stream's still, taken anew while it is live and in sight. Without one there is a ground in a colour of the stream's own. */
export function Poster({ name, live }: { name: string; live: boolean }) {
  const box = useRef<HTMLDivElement>(null);
  const url = useSignal('');
  useEffect(() => {
    const gone = new AbortController();
    let seen = false;
    let at = 0;
    const take = () => {
      const wait = url.value || !live ? refreshEvery : retryEvery;
      if (!seen || document.hidden || (at && !live) || Date.now() - at < wait - 500) return;
      at = Date.now();
      fetchStill(name, gone.signal).then(show, () => undefined);
    };
    const show = (next: string) => {
      const before = url.value;
      url.value = next;
      if (before) setTimeout(() => URL.revokeObjectURL(before), 1000);
    };
    const eye = new IntersectionObserver((e) => ((seen = e.at(-1)!.isIntersecting), take()), { rootMargin: '200px' });
    eye.observe(box.current!);
    const timer = setInterval(take, retryEvery);
    return () => {
      gone.abort();
      eye.disconnect();
      clearInterval(timer);
    };
  }, [name, live]);
  useEffect(() => () => URL.revokeObjectURL(url.peek()), []);
  return (
    <div class="poster" ref={box} style={{ '--hue': hue(name) }}>
      {url.value && <img src={url.value} alt="" />}
    </div>
  );
}

function hue(name: string): number {
  let h = 0;
  for (const c of name) h = (h * 31 + c.codePointAt(0)!) % 120;
  return 150 + h; // greens to blues: water and land
}
