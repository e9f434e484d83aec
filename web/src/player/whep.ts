/** Plays by WHEP: draft-ietf-wish-whep. One session; who wants another after a failure opens another. */
import { failureOf } from './ladder';
import { open, type Opening } from './offer';
import type { Figures, Listener, Plan, Target, Transport, Want } from './transport';

/** ms until the path must be open once the server has answered: ICE and DTLS take two round trips, with one lost packet each below 2 s. */
const openWithin = 4000;
/** ms of `disconnected` that are waited through: the browser sends checks again, a Wi-Fi roam takes 2–3 s. */
const patience = 4000;

export class WHEP implements Transport {
  readonly via = 'webrtc';
  #opening: Opening;
  #video: HTMLVideoElement;
  #listener: Listener;
  #token: string | null;
  #kinds: string[] | undefined;
  #session: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #connected = false;
  /** TURN servers that the answer named, until they have been tried. */
  #relays: RTCIceServer[] = [];
  #last: RTCInboundRtpStreamStats | undefined;
  #lastSound: RTCInboundRtpStreamStats | undefined;

  /** @param early an offer that is already on its way */
  constructor(video: HTMLVideoElement, target: Target, listener: Listener, plan: Plan, early?: Opening) {
    this.#listener = listener;
    this.#token = target.token;
    this.#video = video;
    if (plan.soundOnly) this.#kinds = ['audio'];
    this.#opening = early ?? open(`${target.server}/whep/${target.stream}`, target.token, undefined, this.#kinds);
    this.#follow();
  }

  #follow(): void {
    const opening = this.#opening;
    opening.pc.addEventListener('connectionstatechange', () => opening === this.#opening && this.#changed());
    opening.pc.addEventListener('track', () => this.#attach(opening.media));
    if (opening.media.getTracks().length) this.#attach(opening.media);
    this.#accept().catch((e) => this.#fail(e instanceof TypeError ? 'network' : 'media', String(e)));
  }

  /** Nothing came through directly: once more through the relays that the answer named. */
  #relay(): void {
    const relays = this.#relays;
    this.#relays = [];
    const { url, pc } = this.#opening;
    void this.#delete();
    pc.close();
    this.#opening = open(url, this.#token, relays, this.#kinds);
    this.#follow();
  }

  #attach(media: MediaStream): void {
    const video = this.#video;
    if (this.#closed || media !== this.#opening.media || video.srcObject === media) return;
    video.srcObject = media;
    video.play().catch(() => undefined); // refused where autoplay is: the player shows its button
  }

  async #accept(): Promise<void> {
    const response = await this.#opening.answer;
    const location = response.headers.get('Location');
    if (location) this.#session = new URL(location, this.#opening.url).href;
    if (this.#closed) return this.#delete();
    if (!response.ok) {
      const retry = Number(response.headers.get('Retry-After')) * 1000 || 0;
      return this.#fail(failureOf(response.status), await detail(response), retry);
    }
    if (!relaysTried(this.#opening.pc)) this.#relays = relaysOf(response.headers.get('Link'));
    this.#arm(openWithin, 'blocked');
    this.#changed();
  }

  #changed(): void {
    if (this.#closed) return;
    switch (this.#opening.pc.connectionState) {
      case 'connected':
        clearTimeout(this.#timer);
        this.#connected = true;
        return this.#listener.connected();
      case 'disconnected':
        return this.#arm(patience, 'broken');
      case 'failed':
      case 'closed':
        return this.#fail(this.#connected ? 'broken' : 'blocked');
    }
  }

  #arm(ms: number, why: 'blocked' | 'broken'): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fail(why), ms);
  }

  #fail(why: Parameters<Listener['failed']>[0], text?: string, retry?: number): void {
    if (this.#closed) return;
    if (why === 'blocked' && this.#relays.length) return this.#relay();
    this.close();
    this.#listener.failed(why, text, retry);
  }

  async figures(): Promise<Figures> {
    let video: RTCInboundRtpStreamStats | undefined;
    let audio: RTCInboundRtpStreamStats | undefined;
    let rtt = 0;
    const codecs = new Map<string, string>();
    const report = await this.#opening.pc.getStats();
    for (const s of report.values()) {
      if (s.type === 'inbound-rtp' && s.kind === 'video') video = s;
      if (s.type === 'inbound-rtp' && s.kind === 'audio') audio = s;
      if (s.type === 'candidate-pair' && s.nominated && s.currentRoundTripTime) rtt = s.currentRoundTripTime;
      if (s.type === 'codec') codecs.set(s.id, s.mimeType);
    }
    if (audio && !video?.packetsReceived) return this.#heard(audio, codecs);
    if (!video) return {};
    const figures = since(video, this.#last, rtt);
    figures.codec = codecs.get(video.codecId ?? '')?.replace('video/', '');
    this.#last = video;
    return figures;
  }

  /** Where there is sound only. */
  #heard(audio: RTCInboundRtpStreamStats, codecs: Map<string, string>): Figures {
    const last = this.#lastSound;
    this.#lastSound = audio;
    const seconds = last ? (audio.timestamp - last.timestamp) / 1000 : 0;
    const bits = (Number(audio.bytesReceived ?? 0) - Number(last?.bytesReceived ?? 0)) * 8;
    return { progress: audio.packetsReceived, bitrate: seconds > 0 ? Math.round(bits / seconds) : undefined, codec: codecs.get(audio.codecId ?? '')?.replace('audio/', '') };
  }

  /** Told to the server in the manner of WHEP's layer extension. It needs the session, which the first word of a running player has. */
  want(want: Want): void {
    if (!this.#session || this.#kinds) return;
    const headers: Record<string, string> = { 'Content-Type': 'application/json', ...this.#auth() };
    const body = JSON.stringify({ layer: want.layer ?? '', height: want.low ? 1 : want.height, hidden: want.hidden });
    fetch(`${this.#session}/layer`, { method: 'POST', headers, body }).catch(() => undefined);
  }

  #auth(): Record<string, string> {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    // In this order: the server forgets a session whose connection is closed, and knows nothing to delete then.
    void Promise.race([this.#delete(), new Promise((r) => setTimeout(r, 500))]).then(() => this.#opening.pc.close());
  }

  /** keepalive lets it go out while the page is left. */
  async #delete(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    if (session) await fetch(session, { method: 'DELETE', headers: this.#auth(), keepalive: true }).catch(() => undefined);
  }
}

const relaysTried = (pc: RTCPeerConnection) => pc.getConfiguration().iceTransportPolicy === 'relay';

/** The TURN servers among the links of an answer (RFC 9725 section 4.6). */
export function relaysOf(link: string | null): RTCIceServer[] {
  const relays: RTCIceServer[] = [];
  for (const [, urls = '', rest = ''] of (link ?? '').matchAll(/<(turns?:[^>]+)>((?:\s*;\s*[\w-]+="[^"]*")*)/g)) {
    const value = (key: string) => rest.match(new RegExp(`;\\s*${key}="([^"]*)"`))?.[1];
    if (value('rel') === 'ice-server') relays.push({ urls, username: value('username'), credential: value('credential') });
  }
  return relays;
}

/** What happened between two reports. Delay: half a round trip on the network, plus jitter buffer and decoder (totalProcessingDelay runs from the first packet of a frame to its decoded picture). */
export function since(now: RTCInboundRtpStreamStats, last: RTCInboundRtpStreamStats | undefined, rtt: number): Figures {
  const d = (key: keyof RTCInboundRtpStreamStats) => Number(now[key] ?? 0) - Number(last?.[key] ?? 0);
  const seconds = last ? (now.timestamp - last.timestamp) / 1000 : 0;
  const decoded = d('framesDecoded');
  const packets = d('packetsReceived') + Math.max(0, d('packetsLost'));
  const inside = now.totalProcessingDelay !== undefined ? 'totalProcessingDelay' : 'jitterBufferDelay';
  return {
    latency: decoded > 0 ? Math.round((rtt / 2 + d(inside) / (inside === 'totalProcessingDelay' ? decoded : Math.max(1, d('jitterBufferEmittedCount')))) * 1000) : undefined,
    width: now.frameWidth,
    height: now.frameHeight,
    fps: seconds > 0 ? Math.round(decoded / seconds) : now.framesPerSecond,
    bitrate: seconds > 0 ? Math.round((d('bytesReceived') * 8) / seconds) : undefined,
    progress: now.framesDecoded,
    loss: packets > 0 ? Math.max(0, d('packetsLost')) / packets : 0,
  };
}

/** The words of a problem+json answer, if it is one. */
export async function detail(response: Response): Promise<string | undefined> {
  try {
    const problem = await response.json();
    return problem.detail || problem.title;
  } catch {
    return undefined;
  }
}
