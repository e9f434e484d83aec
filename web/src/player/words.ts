/** The player's own words: the pages' dictionary is not loaded where only the player is. */
import { playerEn, playerZh, type PlayerKey } from '../i18n/player';
import { fill, languageOf } from '../i18n/words';

export type Say = (key: PlayerKey, values?: Record<string, string | number>) => string;

export function wordsFor(tag: string): Say {
  const texts = languageOf(tag) === 'zh-CN' ? playerZh : playerEn;
  return (key, values) => fill(texts[key], values);
}

/** A stream's reason code in words. Codes that this build does not know are shown as they are. */
export function reasonWords(say: Say, code: string): string {
  if (!code) return '';
  const key = `reason.${code}`;
  return key in playerEn ? say(key as PlayerKey) : say('reason.other', { code });
}
