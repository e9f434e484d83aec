import { useSignal } from '@preact/signals';
import { t } from './lang';
import { Copy } from './share';

/** The ways to bring a camera in: all that a hub without streams shows, and what one with streams shows on request. */
export function Empty({ title, text }: { title: string; text?: string }) {
  const name = useSignal('my-camera');
  const host = location.hostname;
  const clean = name.value.toLowerCase().replace(/[^a-z0-9._-]/g, '-').replace(/^[^a-z0-9]+/, '') || 'my-camera';
  return (
    <section class="empty">
      <h1>{title}</h1>
      {text && <p>{text}</p>}
      <div class="way">
        <h2>{t('empty.browser')}</h2>
        <form action={`/publish/${clean}`}>
          <input value={name.value} aria-label={t('publish.to', { name: '' })} onInput={(e) => (name.value = e.currentTarget.value)} />
          <button class="primary">{t('empty.open')}</button>
        </form>
      </div>
      <Copy label={t('empty.config')} text={`streams:\n  ${clean}:\n    public: true\n    source: rtsp://user:password@10.0.0.5/stream`} />
      <Copy label={t('empty.push')} text={`ffmpeg -re -i video.mp4 -c:v libx264 -bf 0 -c:a aac -f rtsp rtsp://${host}:8554/${clean}`} />
      <Copy label={t('empty.demo')} text="watershed demo" />
    </section>
  );
}
