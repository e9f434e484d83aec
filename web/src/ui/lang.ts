/** The pages' language: the browser's, or as chosen before. Components that call `t` are drawn again when it changes. */
import { effect, signal } from '@preact/signals';
import { en, type Key } from '../i18n/en';
import { fill, languageOf, type Language } from '../i18n/words';
import { zh } from '../i18n/zh-CN';

const texts: Record<Language, Record<Key, string>> = { 'en': en, 'zh-CN': zh };

function stored(): string | null {
  try {
    return localStorage.getItem('watershed.lang');
  } catch {
    return null;
  }
}

export const lang = signal<Language>(languageOf(stored() ?? navigator.language));

effect(() => {
  document.documentElement.lang = lang.value;
});

export function choose(l: Language): void {
  lang.value = l;
  try {
    localStorage.setItem('watershed.lang', l);
  } catch {
    // a private window: it holds for this page
  }
}

export function t(key: Key, values?: Record<string, string | number>): string {
  return fill(texts[lang.value][key], values);
}

/** As `t`, for keys that come from outside, with what to say if there is none. */
export function tOr(key: string, otherwise: string): string {
  return key in en ? t(key as Key) : otherwise;
}

/** A clock time of today, for chat. */
export function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString(lang.value, { hour: '2-digit', minute: '2-digit' });
}

/** A whole number as people of the language write it. */
export function count(n: number): string {
  return n.toLocaleString(lang.value);
}
