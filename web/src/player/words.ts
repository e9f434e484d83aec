/** The player's own words: the pages' dictionary is not loaded where only the player is. */
import { playerEn, playerZh, type PlayerKey } from '../i18n/player';
import { fill, languageOf, type Language } from '../i18n/words';

export interface Say {
  (key: PlayerKey, values?: Record<string, string | number>): string;
  lang: Language;
}

export function wordsFor(tag: string): Say {
  const lang = languageOf(tag);
  const texts = lang === 'zh-CN' ? playerZh : playerEn;
  return Object.assign((key: PlayerKey, values?: Record<string, string | number>) => fill(texts[key], values), { lang });
}

/** A stream's reason code in words. Codes that this build does not know are shown as they are. */
export function reasonWords(say: Say, code: string): string {
  if (!code) return '';
  const key = `reason.${code}`;
  return key in playerEn ? say(key as PlayerKey) : say('reason.other', { code });
}

/** The clock's time of a moment, with its day if that is not today. */
export function clockOf(say: Say, at: number, now = Date.now()): string {
  const time = new Date(at).toLocaleTimeString(say.lang, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
  if (new Date(at).toDateString() === new Date(now).toDateString()) return time;
  return `${new Date(at).toLocaleDateString(say.lang, { month: 'short', day: 'numeric' })} ${time}`;
}
