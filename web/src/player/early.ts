/**
 * Runs inside the head of /watch and /embed, as the first script of the page. The player finds the result and goes on with it. The page's own
 * module waits for the first picture, but not long: on a small machine they would compete for the same processor.
 */
import { open } from './offer';
import { token } from './token';

/** The rest of the page may begin after so long, in ms, whatever the picture does. */
const patience = 350;

let begun = false;
function begin(): void {
  const src = document.querySelector<HTMLMetaElement>('meta[name="page-module"]')?.content;
  if (begun || !src) return;
  begun = true;
  const script = document.createElement('script');
  script.type = 'module';
  script.src = src;
  document.head.append(script);
}

const stream = /^\/(?:watch|embed)\/([^/]+)/.exec(location.pathname)?.[1];
const via = new URLSearchParams(location.search).get('via');
if (stream && 'RTCPeerConnection' in window && (!via || via === 'webrtc')) {
  const opening = open(`${location.origin}/whep/${stream}`, token());
  opening.answer.catch(() => undefined); // whoever adopts it looks at the failure
  const show = () => {
    const video = document.querySelector('video');
    if (!video || video.srcObject || !opening.media.getTracks().length) return;
    video.srcObject = opening.media; // it has autoplay
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(begin);
  };
  setTimeout(begin, patience);
  opening.answer.then((r) => r.ok || begin(), begin);
  opening.pc.addEventListener('track', show);
  document.addEventListener('DOMContentLoaded', show);
  (window as { watershedOpening?: unknown }).watershedOpening = opening;
} else {
  begin();
}
