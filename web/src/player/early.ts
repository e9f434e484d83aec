/** Runs inside the head of /watch and /embed, as the first script of the page. The player finds the result and goes on with it. */
import { open } from './offer';
import { token } from './token';

const stream = /^\/(?:watch|embed)\/([^/]+)/.exec(location.pathname)?.[1];
const via = new URLSearchParams(location.search).get('via');
if (stream && 'RTCPeerConnection' in window && (!via || via === 'webrtc')) {
  const opening = open(`${location.origin}/whep/${stream}`, token());
  opening.answer.catch(() => undefined); // whoever adopts it looks at the failure
  const show = () => {
    const video = document.querySelector('video');
    if (video && !video.srcObject && opening.media.getTracks().length) video.srcObject = opening.media; // it has autoplay
  };
  opening.pc.addEventListener('track', show);
  document.addEventListener('DOMContentLoaded', show);
  (window as { watershedOpening?: unknown }).watershedOpening = opening;
}
