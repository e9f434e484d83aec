/**
 * Runs inside the head of /watch and /embed, as the first script of the page. The player finds the result and goes on with it. The page's own
 * module waits for the first picture, but not long: on a small machine they would compete for the same processor.
 */
import { Ahead } from './ahead';
import { playlist } from './address';
import type { open as openHls, Playing } from './hlsjs';
import { open } from './offer';
import { token } from './token';

/** The rest of the page may begin after so long, in ms, whatever the picture does. */
const patience = 350;

const meta = (name: string) => document.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content;

let begun = false;
function begin(): void {
  const src = meta('page-module');
  if (begun || !src) return;
  begun = true;
  const script = document.createElement('script');
  script.type = 'module';
  script.src = src;
  document.head.append(script);
}

/** Resolves with the page's video, once the document is that far. */
function theVideo(): Promise<HTMLVideoElement> {
  return new Promise((found) => {
    const look = () => {
      const video = document.querySelector('video');
      if (video) found(video);
      return video;
    };
    if (!look()) document.addEventListener('DOMContentLoaded', look);
  });
}

const onPicture = (video: HTMLVideoElement) => video.requestVideoFrameCallback?.(begin);

/** Sends the offer. */
function webrtc(stream: string): void {
  const opening = open(`${location.origin}/whep/${stream}`, token());
  opening.answer.then((r) => r.ok || begin(), begin); // whoever adopts it looks at the failure
  const show = () => {
    const video = document.querySelector('video');
    if (!video || video.srcObject || !opening.media.getTracks().length) return;
    video.srcObject = opening.media; // it has autoplay
    onPicture(video);
  };
  opening.pc.addEventListener('track', show);
  document.addEventListener('DOMContentLoaded', show);
  keep(opening);
}

/** Fetches hls.js, and at the same time what it will ask for. */
async function hls(stream: string, low: boolean): Promise<Playing | undefined> {
  const module: Promise<{ open: typeof openHls; Hls: { isSupported(): boolean } }> = import(/* @vite-ignore */ meta('hls-module')!);
  module.catch(begin);
  const url = await playlist({ server: location.origin, stream, token: token() });
  if (typeof url !== 'string') return undefined;
  const ahead = new Ahead(url, low, meta('hls-begin')?.split(' '));
  const [{ Hls, open }, video] = await Promise.all([module, theVideo()]);
  if (!Hls.isSupported()) return undefined;
  onPicture(video);
  return open(low, video, url, ahead);
}

function keep(opening: object): void {
  (window as { watershedOpening?: unknown }).watershedOpening = opening;
}

const stream = /^\/(?:watch|embed)\/([^/]+)/.exec(location.pathname)?.[1];
const via = new URLSearchParams(location.search).get('via');
if (stream && 'RTCPeerConnection' in window && (!via || via === 'webrtc')) {
  webrtc(stream);
  setTimeout(begin, patience);
} else if (stream && (via === 'llhls' || via === 'hls') && 'MediaSource' in window) {
  const playing = hls(stream, via === 'llhls');
  playing.then((p) => p || begin(), begin);
  keep({ url: `${location.origin}/${via}/${stream}`, playing });
  setTimeout(begin, patience);
} else {
  begin();
}
