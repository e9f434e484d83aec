/** Texts by key, in the visitor's language. */

/** Languages that there are; the first is the one that stands in for all others. */
export const languages = ['en', 'zh-CN'] as const;
export type Language = (typeof languages)[number];

/** The language of a BCP 47 tag: every Chinese is zh-CN here, everything else English. */
export function languageOf(tag: string | null | undefined): Language {
  return tag?.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en';
}

/** Fills `{name}` in a text. */
export function fill(text: string, values?: Record<string, string | number>): string {
  return values ? text.replace(/\{(\w+)\}/g, (whole, key: string) => String(values[key] ?? whole)) : text;
}

/** A length of time in its largest sensible unit. `t` gives the words of `seconds`, `minutes`, `hours` and `days`. */
export function span(ms: number, t: (key: 'seconds' | 'minutes' | 'hours' | 'days', values: { n: number }) => string): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return t('seconds', { n: s });
  if (s < 3600) return t('minutes', { n: Math.floor(s / 60) });
  if (s < 86_400) return t('hours', { n: Math.floor(s / 3600) });
  return t('days', { n: Math.floor(s / 86_400) });
}
