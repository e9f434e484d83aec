/** This person's camera, microphone and screen, before and while in the room. */
import { signal } from '@preact/signals';
import type { Key } from '../i18n/en';
import { DeviceError, openCamera, openScreen, stop } from '../ui/devices';

export const camera = signal<MediaStream | null>(null);
export const screen = signal<MediaStream | null>(null);
export const cameraOn = signal(true);
export const microphoneOn = signal(true);
export const pickedCamera = signal<string | boolean>(true);
export const pickedMicrophone = signal<string | boolean>(true);
export const trouble = signal<Key | null>(null);

export async function openDevices(): Promise<void> {
  trouble.value = null;
  try {
    const next = await openCamera({ camera: pickedCamera.value, microphone: pickedMicrophone.value, height: 720 });
    stop(camera.value);
    camera.value = next;
    apply();
  } catch (e) {
    trouble.value = e instanceof DeviceError ? e.key : 'publish.no-device';
  }
}

/** A track that is off sends black or silence: switching back on needs no negotiation and no permission. */
export function apply(): void {
  camera.value?.getVideoTracks().forEach((t) => (t.enabled = cameraOn.value));
  camera.value?.getAudioTracks().forEach((t) => (t.enabled = microphoneOn.value));
}

export async function share(ended: () => void): Promise<void> {
  const next = await openScreen().catch(() => null);
  if (!next) return;
  const picture = next.getVideoTracks()[0];
  if (picture) {
    picture.contentHint = 'detail';
    picture.onended = ended; // the browser's own bar ends it too
  }
  screen.value = next;
}

export function unshare(): void {
  stop(screen.value);
  screen.value = null;
}

export function closeDevices(): void {
  stop(camera.value);
  camera.value = null;
  unshare();
}
