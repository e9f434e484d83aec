/** Shows this person to the room: one PeerConnection that publishes a camera with its microphone, or a screen. */
import { signal } from '@preact/signals';
import { backoff } from '../player/ladder';
import { send } from '../publish/sender';
import { SocketError, type Frame, type Socket } from '../socket';

export type Source = 'camera' | 'screen';

export class Showing {
  /** the stream's name while it is published */
  readonly stream = signal<string | null>(null);
  /** why the server does not take it */
  readonly refused = signal<SocketError | null>(null);
  #socket: Socket;
  #room: string;
  #pc: RTCPeerConnection | null = null;
  #media: MediaStream | null = null;
  readonly #source: Source;
  #attempt = 0;
  #off: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Socket, room: string, source: Source) {
    this.#socket = socket;
    this.#room = room;
    this.#source = source;
    this.#off = socket.on('unpublished', (f) => f.id === undefined && f.source === source && this.#ended(f));
  }

  /** Publishes, in the place of what was published before; null ends it. */
  async show(media: MediaStream | null): Promise<void> {
    if (media === this.#media) return;
    if (this.#pc && !media) this.#socket.request({ t: 'unpublish', source: this.#source }).catch(() => undefined);
    this.#media = media;
    await this.open();
  }

  /** Opens the connection, or opens it anew after the socket came back; what is left of the one before is taken over. */
  async open(): Promise<void> {
    this.#hangUp();
    const media = this.#media;
    if (!media?.getTracks().length) return;
    const pc = (this.#pc = new RTCPeerConnection({ iceServers: this.#socket.welcome?.ice ?? [] }));
    send(pc, media, this.#source === 'screen' ? 2_500_000 : 1_200_000);
    pc.onconnectionstatechange = () => pc === this.#pc && this.#state(pc);
    try {
      await pc.setLocalDescription();
      const f = await this.#socket.request({ t: 'publish', room: this.#room, source: this.#source, sdp: pc.localDescription!.sdp, takeover: true });
      if (pc !== this.#pc) return;
      await pc.setRemoteDescription({ type: 'answer', sdp: f.sdp });
      this.stream.value = f.stream;
      this.refused.value = null;
      this.mute();
    } catch (e) {
      if (pc === this.#pc) this.#failed(e as SocketError);
    }
  }

  /** Tells the room what is muted, by the tracks' `enabled`. */
  mute(): void {
    const off = (kind: string) => !this.#media?.getTracks().some((t) => t.kind === kind && t.enabled);
    if (this.stream.value) this.#socket.request({ t: 'mute', source: this.#source, audio: off('audio'), video: off('video') }).catch(() => undefined);
  }

  close(): void {
    void this.show(null);
    this.#off();
  }

  #state(pc: RTCPeerConnection): void {
    if (pc.connectionState === 'connected') this.#attempt = 0;
    if (pc.connectionState === 'failed') this.#again();
  }

  /** The server ended it. What a moderator removed, or another tab took over, stays away. */
  #ended(f: Frame): void {
    if (f.code === 'lost') return this.#again();
    this.#hangUp();
    this.refused.value = new SocketError(f.code ?? 'removed', f.text ?? '');
  }

  #failed(e: SocketError): void {
    this.#hangUp();
    if (e.code === 'offline' || e.code === 'busy' || e.code === 'internal' || !e.code) return this.#again();
    this.refused.value = e;
  }

  #again(): void {
    this.#hangUp();
    this.#timer = setTimeout(() => this.#socket.status.state === 'open' && void this.open(), backoff(++this.#attempt));
  }

  #hangUp(): void {
    clearTimeout(this.#timer);
    this.#pc?.close();
    this.#pc = null;
    this.stream.value = null;
  }
}
