import type { ComponentChildren } from 'preact';
import { choose, lang, t } from './lang';

/** The line at the top of every page: home, what the page adds, language. */
export function Bar({ children }: { children?: ComponentChildren }) {
  return (
    <>
      <a class="brand" href="/"><Mark />{t('brand')}</a>
      <div class="bar-middle">{children}</div>
      <button class="quiet" type="button" aria-label={t('language.label')} onClick={() => choose(lang.value === 'en' ? 'zh-CN' : 'en')}>
        {t('language')}
      </button>
    </>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
      <path d="M3 8c5 0 6 8 13 8M3 16h13M3 24c5 0 6-8 13-8m0 0h13" fill="none" stroke="currentColor" stroke-width="3.2" stroke-linecap="round" />
    </svg>
  );
}
