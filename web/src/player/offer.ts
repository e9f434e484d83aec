/**
 * The first step of watching by WebRTC: a PeerConnection and its offer on the way to the server (WHEP). It is a module of
 * its own because pages inline it into their head: nothing else has to be loaded before pictures come.
 */
export interface Opening {
  url: string;
  pc: RTCPeerConnection;
  /** What the tracks arrive on. */
  media: MediaStream;
  /** Resolves when the server has answered; an answer in the affirmative is in force by then. Rejects with a TypeError if it was not reached. */
  answer: Promise<Response>;
}

/** Sends an offer for one video and one audio, or for less. `url` is the WHEP endpoint; it must be absolute or relative to the page. With relays, media goes through one of them. */
export function open(url: string, token?: string | null, relays?: RTCIceServer[], kinds = ['video', 'audio']): Opening {
  const pc = new RTCPeerConnection(relays && { iceServers: relays, iceTransportPolicy: 'relay' });
  const media = new MediaStream();
  pc.ontrack = (e) => media.addTrack(e.track);
  for (const kind of kinds) {
    // 0 asks for the least delay the jitter allows; the browser raises it by itself when it must.
    const receiver = pc.addTransceiver(kind, { direction: 'recvonly' }).receiver as RTCRtpReceiver & { jitterBufferTarget?: number };
    receiver.jitterBufferTarget = 0;
  }
  return { url, pc, media, answer: send(url, pc, token) };
}

async function send(url: string, pc: RTCPeerConnection, token?: string | null): Promise<Response> {
  const offer = await pc.createOffer();
  const headers: Record<string, string> = { 'Content-Type': 'application/sdp' };
  if (token) headers.Authorization = `Bearer ${token}`;
  // The server is ICE-lite and learns our address from our checks: no candidate has to be gathered first.
  const [answer] = await Promise.all([
    fetch(url, { method: 'POST', headers, body: offer.sdp }),
    pc.setLocalDescription(offer),
  ]);
  if (answer.ok && pc.signalingState !== 'closed') await pc.setRemoteDescription({ type: 'answer', sdp: await answer.clone().text() });
  return answer;
}
