/** Publishes one stream by WHIP (RFC 9725), and comes back by itself when the connection breaks. */
import { backoff, failureOf, type Failure } from '../player/ladder';
import { detail } from '../player/whep';
import { limit, send, sent } from './sender';

export type Air =
  | { state: 'off' }
  | { state: 'starting' }
  | { state: 'on'; since: number; bitrate: number; height: number; fps: number }
  | { state: 'again' }
  | { state: 'refused'; why: Failure | 'busy'; text: string };

/** Further attempts to get on air for the first time; who was on air comes back as long as it takes. */
const firstTries = 2;
/** ms until media must flow after the answer. */
const openWithin = 6000;

export class WHIP {
  #url: string;
  #token: string;
  #media: MediaStream;
  #bitrate: number;
  #changed: (a: Air) => void;
  #pc: RTCPeerConnection | null = null;
  #session: string | null = null;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #meter: ReturnType<typeof setInterval> | undefined;
  #bits = 0;
  #since = 0;
  #off = false;

  /** @param bitrate of the picture, bits/s */
  constructor(stream: string, token: string, media: MediaStream, bitrate: number, changed: (a: Air) => void) {
    this.#url = `${location.origin}/whip/${stream}`;
    this.#token = token;
    this.#media = media;
    this.#bitrate = bitrate;
    this.#changed = changed;
  }

  /** @param takeover replaces whoever publishes this stream now, if the token may */
  start(takeover = false): void {
    this.#changed({ state: 'starting' });
    this.#open(takeover).catch((e) => this.#broke(String(e), false));
  }

  stop(): void {
    this.#off = true;
    clearTimeout(this.#timer);
    this.#hangUp();
    this.#changed({ state: 'off' });
  }

  limit(bitrate: number): void {
    this.#bitrate = bitrate;
    if (this.#pc) void limit(this.#pc, bitrate);
  }

  /** Sends another picture or sound in the place of the one before, without a new session. */
  async replace(media: MediaStream): Promise<boolean> {
    this.#media = media;
    const senders = this.#pc?.getSenders() ?? [];
    if (senders.length !== media.getTracks().length) return false;
    for (const track of media.getTracks()) {
      const sender = senders.find((s) => s.track?.kind === track.kind);
      if (!sender) return false;
      await sender.replaceTrack(track);
    }
    return true;
  }

  async #open(takeover: boolean): Promise<void> {
    const pc = (this.#pc = new RTCPeerConnection());
    send(pc, this.#media, this.#bitrate);
    pc.onconnectionstatechange = () => pc === this.#pc && this.#state(pc);
    await pc.setLocalDescription();
    const r = await fetch(this.#url + (takeover ? '?takeover=1' : ''), {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp', ...this.#auth() },
      body: pc.localDescription!.sdp,
    });
    const location = r.headers.get('Location');
    if (location) this.#session = new URL(location, this.#url).href;
    if (this.#off) return this.#hangUp();
    if (!r.ok) return this.#refused(r);
    await pc.setRemoteDescription({ type: 'answer', sdp: await r.text() });
    this.#timer = setTimeout(() => this.#broke('no media path'), openWithin);
  }

  #auth(): Record<string, string> {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  async #refused(r: Response): Promise<void> {
    const text = (await detail(r)) ?? r.statusText;
    const why = r.status === 409 ? 'busy' : failureOf(r.status);
    this.#hangUp();
    if ((why === 'network' || why === 'busy') && this.#since > 0 && r.status !== 409) return this.#broke(text);
    this.#changed({ state: 'refused', why, text });
  }

  #state(pc: RTCPeerConnection): void {
    if (pc.connectionState === 'connected') {
      clearTimeout(this.#timer);
      this.#attempt = 0;
      this.#since ||= Date.now();
      this.#bits = 0;
      clearInterval(this.#meter);
      this.#meter = setInterval(() => void this.#measure(pc), 1000);
      void this.#measure(pc);
    }
    if (pc.connectionState === 'failed') this.#broke('failed');
    if (pc.connectionState !== 'disconnected') return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#broke('disconnected'), 4000);
  }

  async #measure(pc: RTCPeerConnection): Promise<void> {
    const now = await sent(pc);
    if (pc !== this.#pc || pc.connectionState !== 'connected') return;
    this.#changed({ state: 'on', since: this.#since, bitrate: this.#bits ? now.bits - this.#bits : 0, height: now.height, fps: now.fps });
    this.#bits = now.bits;
  }

  /** @param reached whether the server had answered */
  #broke(text: string, reached = true): void {
    if (this.#off) return;
    this.#hangUp();
    if (!this.#since && this.#attempt >= firstTries) return this.#changed({ state: 'refused', why: reached ? 'blocked' : 'network', text });
    this.#changed({ state: this.#since ? 'again' : 'starting' });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#open(this.#since > 0).catch((e) => this.#broke(String(e), false)), backoff(++this.#attempt));
  }

  #hangUp(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#meter);
    this.#pc?.close();
    this.#pc = null;
    if (this.#session) fetch(this.#session, { method: 'DELETE', headers: this.#auth(), keepalive: true }).catch(() => undefined);
    this.#session = null;
  }
}
