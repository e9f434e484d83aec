/** What keys do, and the sheet that lists them. */
import type { PlayerKey } from '../i18n/player';
import type { Say } from './words';

export interface KeyActions {
  toggle(): void;
  mute(): void;
  fullscreen(): void;
  captions(): boolean;
  live(): void;
  /** ms forth or back in time; false where there is no past */
  nudge(ms: number): boolean;
  /** -1 to 1 */
  volume(by: number): void;
  help(): void;
  escape(): boolean;
}

/** ms that an arrow goes. */
const stride = 10_000;

/** Does what a key stands for; false if it stands for nothing here. */
export function press(e: KeyboardEvent, do_: KeyActions): boolean {
  if (e.ctrlKey || e.metaKey || e.altKey) return false;
  const onButton = (e.composedPath()[0] as Element | undefined)?.localName === 'button';
  const did = (action: () => void) => (action(), true);
  switch (e.key.toLowerCase()) {
    case ' ': return !onButton && did(do_.toggle);
    case 'k': return did(do_.toggle);
    case 'm': return did(do_.mute);
    case 'f': return did(do_.fullscreen);
    case 'l': return did(do_.live);
    case 'c': return do_.captions();
    case '?': return did(do_.help);
    case 'arrowleft': return do_.nudge(e.shiftKey ? -6 * stride : -stride);
    case 'arrowright': return do_.nudge(e.shiftKey ? 6 * stride : stride);
    case 'arrowup': return did(() => do_.volume(0.1));
    case 'arrowdown': return did(() => do_.volume(-0.1));
    case 'escape': return do_.escape();
  }
  return false;
}

const rows: [keys: string, key: PlayerKey][] = [
  ['K', 'key.play'], ['M', 'key.mute'], ['↑ ↓', 'key.volume'], ['F', 'key.fullscreen'],
  ['← →', 'key.seek'], ['⇧ ← →', 'key.seek.far'], ['L', 'key.live'], ['C', 'key.captions'], ['?', 'key.help'],
];

/** The sheet's content. */
export function helpOf(say: Say): HTMLElement[] {
  const title = document.createElement('h2');
  title.textContent = say('keys');
  const list = document.createElement('dl');
  for (const [keys, key] of rows) {
    const [dt, dd] = [document.createElement('dt'), document.createElement('dd')];
    for (const k of keys === 'K' ? [say('key.space'), 'K'] : keys.split(' ')) dt.append(Object.assign(document.createElement('kbd'), { textContent: k }));
    dd.textContent = say(key);
    list.append(dt, dd);
  }
  return [title, list];
}
