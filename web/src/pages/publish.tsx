/** /publish/{stream}: this device's camera or screen, live by WHIP. */
import '../style/app.css';
import '../style/publish.css';
import { effect, signal } from '@preact/signals';
import { render } from 'preact';
import type { Key } from '../i18n/en';
import { span } from '../i18n/words';
import { token } from '../player/token';
import { WHIP, type Air } from '../publish/whip';
import { Bar } from '../ui/bar';
import { cameras, DeviceError, microphones, openCamera, openScreen, stop } from '../ui/devices';
import { t } from '../ui/lang';
import { Live } from '../ui/preview';
import { Select } from '../ui/select';

const name = decodeURIComponent(location.pathname.split('/')[2] ?? '');
const source = signal<'camera' | 'screen'>('camera');
const camera = signal<string | boolean>(true);
const microphone = signal<string | boolean>(true);
const height = signal(720);
const bitrate = signal(2500);
const key = signal(token() ?? '');
const media = signal<MediaStream | null>(null);
const trouble = signal<Key | null>(null);
const air = signal<Air>({ state: 'off' });
const sizes = [360, 480, 720, 1080];
const rates = [500, 1000, 1500, 2500, 4000, 6000];
let whip: WHIP | null = null;

async function openSource(): Promise<void> {
  trouble.value = null;
  try {
    const next = source.value === 'screen'
      ? await openScreen()
      : await openCamera({ camera: camera.value, microphone: microphone.value, height: height.value });
    if (!next) return;
    const video = next.getVideoTracks()[0];
    if (video) {
      video.contentHint = source.value === 'screen' ? 'detail' : 'motion';
      video.onended = () => media.value === next && source.value === 'screen' && end();
    }
    if (whip && !(await whip.replace(next))) go();
    stop(media.value);
    media.value = next;
  } catch (e) {
    trouble.value = e instanceof DeviceError ? e.key : 'publish.no-device';
  }
}

function go(takeover = false): void {
  if (!media.value) return;
  whip?.stop();
  whip = new WHIP(name, key.value.trim(), media.value, bitrate.value * 1000, (a) => (air.value = a));
  whip.start(takeover);
}

function end(): void {
  whip?.stop();
  whip = null;
  if (source.value === 'screen') {
    stop(media.value);
    media.value = null;
  }
}

function pick(s: 'camera' | 'screen'): void {
  if (source.value === s && media.value) return;
  source.value = s;
  void openSource();
}

effect(() => whip?.limit(bitrate.value * 1000));
addEventListener('pagehide', () => whip?.stop());

function Publish() {
  const running = air.value.state !== 'off' && air.value.state !== 'refused';
  return (
    <>
      <header class="bar"><Bar /></header>
      <main class="studio">
        <section class="stage">
          <div class="frame">
            {media.value ? <Live media={media.value} mirror={source.value === 'camera'} /> : <Ask />}
            <OnAir />
          </div>
          <div class="under">
            <div>
              <h1>{name}</h1>
              <p class="soft num"><Figures /></p>
            </div>
            <a class="button" href={`/watch/${name}`} target="_blank">{t('publish.watch')}</a>
          </div>
        </section>
        <form class="panel" onSubmit={(e) => { e.preventDefault(); if (running) end(); else go(); }}>
          <div class="tabs" role="group">
            {(['camera', 'screen'] as const).map((s) => (
              <button key={s} type="button" aria-pressed={source.value === s} onClick={() => pick(s)}>{t(`publish.${s}`)}</button>
            ))}
          </div>
          {source.value === 'camera' && <Devices />}
          <Select label={t('publish.bitrate')} value={bitrate.value} options={rates.map((r) => ({ value: r, text: `${r / 1000} Mb/s` }))} onPick={(v) => (bitrate.value = v)} />
          <label class="field">
            <span>{t('publish.key')}</span>
            <input type="password" autoComplete="off" value={key.value} disabled={running} onInput={(e) => (key.value = e.currentTarget.value)} />
            <small>{t('publish.key.hint')}</small>
          </label>
          <Refusal />
          <button class={`primary${running ? ' danger' : ''}`} disabled={!media.value}>{t(running ? 'publish.stop' : 'publish.start')}</button>
        </form>
      </main>
    </>
  );
}

/** What stands where the picture will be. */
function Ask() {
  return (
    <div class="ask">
      <p>{t(trouble.value ?? (source.value === 'screen' ? 'publish.pick' : 'publish.allow'))}</p>
      <button type="button" class="button" onClick={() => void openSource()}>{trouble.value ? t('retry') : t(`publish.${source.value}`)}</button>
    </div>
  );
}

function Devices() {
  const named = (list: MediaDeviceInfo[], any: string) => [
    ...(list.length ? list.map((d, i) => ({ value: d.deviceId, text: d.label || `${any} ${i + 1}` })) : [{ value: 'any', text: any }]),
    { value: 'none', text: t('publish.none') },
  ];
  const set = (s: typeof camera) => (v: string) => {
    s.value = v === 'none' ? false : v === 'any' ? true : v;
    void openSource();
  };
  const now = (wish: string | boolean, kind: 'video' | 'audio') =>
    wish === false ? 'none' : (media.value?.getTracks().find((x) => x.kind === kind)?.getSettings().deviceId ?? 'any');
  return (
    <>
      <Select label={t('publish.devices.camera')} value={now(camera.value, 'video')} options={named(cameras.value, t('publish.devices.camera'))} onPick={set(camera)} />
      <Select label={t('publish.devices.mic')} value={now(microphone.value, 'audio')} options={named(microphones.value, t('publish.devices.mic'))} onPick={set(microphone)} />
      <Select label={t('publish.quality')} value={height.value} options={sizes.map((h) => ({ value: h, text: `${h}p` }))} onPick={(h) => { height.value = h; void openSource(); }} />
    </>
  );
}

function OnAir() {
  const a = air.value;
  if (a.state === 'off' || a.state === 'refused') return null;
  const text = { starting: t('publish.starting'), on: t('publish.on-air'), again: t('publish.again') }[a.state];
  return <span class="on-air" role="status" data-on={a.state === 'on'}>{text}</span>;
}

function Figures() {
  const a = air.value;
  if (a.state !== 'on') return <>{t('publish.to', { name: `${location.host}/watch/${name}` })}</>;
  return <>{span(Date.now() - a.since, t)} · {(a.bitrate / 1e6).toFixed(1)} Mb/s · {a.height}p · {a.fps}/s</>;
}

function Refusal() {
  const a = air.value;
  if (a.state !== 'refused') return null;
  const known: Partial<Record<typeof a.why, Key>> = { denied: 'publish.error.denied', busy: 'publish.error.busy', blocked: 'error.blocked', network: 'publish.error.network' };
  const key = known[a.why];
  const head = key ? t(key) : t('publish.refused', { why: a.text });
  return (
    <div class="refusal" role="alert">
      <p>{head}</p>
      {a.why === 'busy' && <button type="button" class="link" onClick={() => go(true)}>{t('publish.takeover')}</button>}
    </div>
  );
}

const app = document.getElementById('app')!;
app.replaceChildren();
render(<Publish />, app);
void openSource();
