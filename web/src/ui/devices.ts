/** Cameras, microphones and screens of this device, and why they cannot be had. */
import { signal } from '@preact/signals';
import type { Key } from '../i18n/en';

export const cameras = signal<MediaDeviceInfo[]>([]);
export const microphones = signal<MediaDeviceInfo[]>([]);

/** Lists the devices anew. They have names only once the visitor has allowed one. */
export async function look(): Promise<void> {
  const all = await navigator.mediaDevices.enumerateDevices();
  cameras.value = all.filter((d) => d.kind === 'videoinput' && d.deviceId);
  microphones.value = all.filter((d) => d.kind === 'audioinput' && d.deviceId);
}

/** What is wished for. A device id, `true` for any, `false` for none. */
export interface Wish {
  camera: string | boolean;
  microphone: string | boolean;
  height: number;
}

/** A refusal that a visitor understands. */
export class DeviceError extends Error {
  constructor(readonly key: Key) {
    super(key);
  }
}

function why(e: unknown): DeviceError {
  const name = (e as DOMException)?.name;
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return new DeviceError('publish.no-device');
  if (name === 'NotReadableError' || name === 'AbortError') return new DeviceError('publish.in-use');
  return new DeviceError('publish.denied');
}

/** Opens camera and microphone; without one of them the other alone. */
export async function openCamera(w: Wish): Promise<MediaStream> {
  if (!navigator.mediaDevices) throw new DeviceError('publish.insecure');
  const video = w.camera !== false && { ...picked(w.camera), width: { ideal: Math.round((w.height * 16) / 9) }, height: { ideal: w.height }, frameRate: { ideal: 30 } };
  const audio = w.microphone !== false && { ...picked(w.microphone), echoCancellation: true, noiseSuppression: true };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio });
  } catch (e) {
    if ((e as DOMException).name !== 'NotFoundError' || !video || !audio) throw why(e);
    for (const one of [{ video }, { audio }]) {
      const media = await navigator.mediaDevices.getUserMedia(one).catch(() => null);
      if (media) return media;
    }
    throw why(e);
  } finally {
    void look();
  }
}

function picked(device: string | boolean): { deviceId?: { exact: string } } {
  return typeof device === 'string' ? { deviceId: { exact: device } } : {};
}

/** Opens a screen, with its sound where the browser has it. null: the visitor chose nothing. */
export async function openScreen(): Promise<MediaStream | null> {
  if (!navigator.mediaDevices?.getDisplayMedia) throw new DeviceError('publish.insecure');
  try {
    return await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: true });
  } catch (e) {
    if ((e as DOMException).name === 'NotAllowedError') return null;
    throw why(e);
  }
}

export function stop(media: MediaStream | null | undefined): void {
  media?.getTracks().forEach((t) => t.stop());
}
