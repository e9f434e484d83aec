import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
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
  const box = useRef<HTMLPreElement>(null);
  const copy = async () => {
    // Browsers give the clipboard only to safe origins; where there is none the text is marked, and copied the old way.
    done.value = await (navigator.clipboard?.writeText(text) ?? Promise.reject()).then(() => true, () => mark(box.current!));
    setTimeout(() => (done.value = false), 1600);
  };
  return (
    <div class="copy">
      <div class="copy-head">
        <b>{label}</b>
        <button type="button" class="link" onClick={copy}>{done.value ? t('copied') : t('copy')}</button>
      </div>
      <pre tabIndex={0} ref={box}>{text}</pre>
    </div>
  );
}

function mark(e: HTMLElement): boolean {
  getSelection()?.selectAllChildren(e);
  return document.execCommand('copy');
}
