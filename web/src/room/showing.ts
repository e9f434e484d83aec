/** Shows this person to the room: one PeerConnection that publishes a camera or a screen, with the microphone. */
import { signal } from '@preact/signals';
import { backoff } from '../player/ladder';
import { send } from '../publish/sender';
import type { Socket, SocketError } from '../socket';

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
  #source: Source = 'camera';
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: Socket, room: string) {
    this.#socket = socket;
    this.#room = room;
  }

  /** Publishes, in the place of what was published before. */
  async show(media: MediaStream, source: Source): Promise<void> {
    if (this.#pc) await this.#socket.request({ t: 'unpublish' }).catch(() => undefined);
    this.#media = media;
    this.#source = source;
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
    if (this.stream.value) this.#socket.request({ t: 'mute', audio: off('audio'), video: off('video') }).catch(() => undefined);
  }

  close(): void {
    if (this.#pc) this.#socket.request({ t: 'unpublish' }).catch(() => undefined);
    this.#media = null;
    this.#hangUp();
  }

  #state(pc: RTCPeerConnection): void {
    if (pc.connectionState === 'connected') this.#attempt = 0;
    if (pc.connectionState === 'failed') this.#again();
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
