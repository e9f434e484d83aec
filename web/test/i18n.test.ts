import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { en } from '../src/i18n/en';
import { fill, languageOf, span } from '../src/i18n/words';
import { zh } from '../src/i18n/zh-CN';

const placeholders = (s: string) => [...s.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort();

describe('texts', () => {
  it('have the same keys in both languages', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  });

  it.each(Object.keys(en) as (keyof typeof en)[])('%s is filled with the same values in both', (key) => {
    expect(zh[key].trim()).not.toBe('');
    expect(placeholders(zh[key])).toEqual(placeholders(en[key]));
  });

  it('are all used: a text that nobody shows is not kept', () => {
    const sources = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter((f) => /\.tsx?$/.test(f) && !f.startsWith('i18n'))
      .map((f) => readFileSync(`src/${f}`, 'utf8'))
      .join('\n');
    const computed = ['via.', 'error.', 'fell.', 'state.', 'reason.', 'role.', 'hub.', 'publish.', 'room.camera.', 'room.mic.'];
    const words = [...sources.matchAll(/['"`]([a-z][\w.-]*)['"`]/g)].map((m) => m[1]);
    const unused = Object.keys(en).filter((k) => !words.includes(k) && !computed.some((c) => k.startsWith(c)) && !['seconds', 'minutes', 'hours', 'days'].includes(k));
    expect(unused).toEqual([]);
  });
});

describe('words', () => {
  it.each([['zh', 'zh-CN'], ['zh-TW', 'zh-CN'], ['ZH-Hans-CN', 'zh-CN'], ['en-GB', 'en'], ['de', 'en'], ['', 'en'], [undefined, 'en']])('%s is shown %s', (tag, language) => {
    expect(languageOf(tag)).toBe(language);
  });

  it('leaves a placeholder without a value as it is', () => {
    expect(fill('{a} and {b}', { a: 1 })).toBe('1 and {b}');
  });

  it.each([[0, '0 s'], [59_400, '59 s'], [60_000, '1 min'], [3_599_000, '59 min'], [3_600_000, '1 h'], [86_400_000 * 3, '3 d']])('%i ms is %s', (ms, text) => {
    expect(span(ms, (k, v) => fill(en[k], v))).toBe(text);
  });
});
