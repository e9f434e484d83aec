/** What publishing by WHIP and publishing into a room have in common: a PeerConnection that sends. */

/** Puts H.264 first: every viewer takes it untouched, and HLS too. */
export function preferH264(transceiver: RTCRtpTransceiver): void {
  const all = RTCRtpReceiver.getCapabilities?.('video')?.codecs;
  if (!all || !transceiver.setCodecPreferences) return;
  const first = all.filter((c) => c.mimeType === 'video/H264' && c.sdpFmtpLine?.includes('packetization-mode=1'));
  transceiver.setCodecPreferences([...first, ...all.filter((c) => !first.includes(c))]);
}

/** Adds what there is of a picture and a sound, in this order. The picture is sent with at most `bitrate` bits/s. */
export function send(pc: RTCPeerConnection, media: MediaStream, bitrate: number): void {
  const video = media.getVideoTracks()[0];
  const audio = media.getAudioTracks()[0];
  if (video) {
    const t = pc.addTransceiver(video, { direction: 'sendonly', streams: [media], sendEncodings: [{ maxBitrate: bitrate }] });
    preferH264(t);
  }
  if (audio) pc.addTransceiver(audio, { direction: 'sendonly', streams: [media] });
}

/** Changes the bitrate of a running sender. */
export async function limit(pc: RTCPeerConnection, bitrate: number): Promise<void> {
  const sender = pc.getSenders().find((s) => s.track?.kind === 'video');
  if (!sender) return;
  const p = sender.getParameters();
  for (const e of p.encodings) e.maxBitrate = bitrate;
  await sender.setParameters(p);
}

/** bits sent so far, and the size of the picture as it is sent. */
export async function sent(pc: RTCPeerConnection): Promise<{ bits: number; height: number; fps: number }> {
  const out = { bits: 0, height: 0, fps: 0 };
  for (const s of (await pc.getStats()).values()) {
    if (s.type !== 'outbound-rtp') continue;
    out.bits += s.bytesSent * 8;
    if (s.kind === 'video') Object.assign(out, { height: s.frameHeight ?? 0, fps: Math.round(s.framesPerSecond ?? 0) });
  }
  return out;
}
