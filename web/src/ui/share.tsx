import { useSignal } from '@preact/signals';
import { t } from './lang';

/** A button that opens the page's address and the code to embed the player, each with a button to copy. */
export function Share({ name }: { name: string }) {
  const open = useSignal(false);
  const code = `<script src="${location.origin}/embed.js"></script>\n<watershed-player stream="${name}"></watershed-player>`;
  return (
    <div class="share" onKeyDown={(e) => e.key === 'Escape' && (open.value = false)}>
      <button type="button" class="button" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>{t('watch.share')}</button>
      {open.value && (
        <div class="pop">
          <Copy label={t('watch.link')} text={`${location.origin}/watch/${name}`} />
          <Copy label={t('watch.embed')} text={code} />
        </div>
      )}
    </div>
  );
}

/** Text in a box that can be copied. */
export function Copy({ label, text }: { label: string; text: string }) {
  const done = useSignal(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text).catch(() => undefined);
    done.value = true;
    setTimeout(() => (done.value = false), 1600);
  };
  return (
    <div class="copy">
      <div class="copy-head">
        <b>{label}</b>
        <button type="button" class="link" onClick={copy}>{done.value ? t('copied') : t('copy')}</button>
      </div>
      <pre tabIndex={0}>{text}</pre>
    </div>
  );
}
