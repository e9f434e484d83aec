import { useEffect } from 'preact/hooks';
import { cameras, microphones } from '../ui/devices';
import { t } from '../ui/lang';
import { Live } from '../ui/preview';
import { Select } from '../ui/select';
import { myName } from '../ui/session';
import { Icon } from './icons';
import { apply, camera, cameraOn, microphoneOn, openDevices, pickedCamera, pickedMicrophone, trouble } from './self';

/** Before the room: how one looks, with which devices, under which name. */
export function Lobby({ name, join }: { name: string; join: (show: boolean) => void }) {
  useEffect(() => void openDevices(), []);
  const submit = (e: Event) => {
    e.preventDefault();
    if (myName.value.trim()) join(camera.value !== null);
  };
  return (
    <main class="lobby">
      <section class="mirror">
        {camera.value && cameraOn.value ? <Live media={camera.value} mirror /> : <p>{t(trouble.value ?? (camera.value ? 'room.off' : 'publish.allow'))}</p>}
        {camera.value && <div class="mirror-bar"><Toggles /></div>}
      </section>
      <form class="panel" onSubmit={submit}>
        <div>
          <h1>{t('room.ready')}</h1>
          <p class="soft">{t('room.title', { name })}</p>
        </div>
        <label class="field">
          <span>{t('room.name')}</span>
          <input value={myName.value} maxLength={40} required autoComplete="nickname" autoFocus onInput={(e) => (myName.value = e.currentTarget.value)} />
        </label>
        {camera.value && <Devices />}
        {camera.value ? <button class="primary">{t('room.join')}</button> : <button type="button" class="primary" onClick={() => void openDevices()}>{t('room.camera')}</button>}
        <button type="button" class="quiet" disabled={!myName.value.trim()} onClick={() => join(false)}>{t('room.look')}</button>
      </form>
    </main>
  );
}

function Devices() {
  const options = (list: MediaDeviceInfo[], any: string) => list.map((d, i) => ({ value: d.deviceId, text: d.label || `${any} ${i + 1}` }));
  const now = (kind: 'video' | 'audio') => camera.value?.getTracks().find((x) => x.kind === kind)?.getSettings().deviceId ?? '';
  return (
    <>
      {cameras.value.length > 1 && <Select label={t('room.camera')} value={now('video')} options={options(cameras.value, t('room.camera'))} onPick={(v) => { pickedCamera.value = v; void openDevices(); }} />}
      {microphones.value.length > 1 && <Select label={t('room.mic')} value={now('audio')} options={options(microphones.value, t('room.mic'))} onPick={(v) => { pickedMicrophone.value = v; void openDevices(); }} />}
    </>
  );
}

/** Microphone and camera on and off, in the lobby and in the room. */
export function Toggles({ changed }: { changed?: () => void }) {
  const flip = (s: typeof cameraOn) => () => {
    s.value = !s.value;
    apply();
    changed?.();
  };
  const mic = t(microphoneOn.value ? 'room.mic.off' : 'room.mic.on');
  const cam = t(cameraOn.value ? 'room.camera.off' : 'room.camera.on');
  return (
    <>
      <button type="button" class="round" aria-pressed={!microphoneOn.value} aria-label={mic} title={mic} disabled={!camera.value?.getAudioTracks().length} onClick={flip(microphoneOn)}>
        <Icon name={microphoneOn.value ? 'mic' : 'mic-off'} />
      </button>
      <button type="button" class="round" aria-pressed={!cameraOn.value} aria-label={cam} title={cam} disabled={!camera.value?.getVideoTracks().length} onClick={flip(cameraOn)}>
        <Icon name={cameraOn.value ? 'camera' : 'camera-off'} />
      </button>
    </>
  );
}
