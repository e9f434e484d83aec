/** How it plays: path, quality, what is left out to save data, speed, and figures. On small players it is a sheet at the bottom of the window. */
import type { View } from './engine';
import { ways, type Via } from './ladder';
import type { Say } from './words';

export interface MenuActions {
  choose(via: Via | null): void;
  pick(layer: string | null): void;
  save(low: boolean): void;
  listen(soundOnly: boolean): void;
  speed(rate: number): void;
  caption(index: number): void;
  help(): void;
  /** the menu was opened */
  learn(): void;
}

/** Captions that there are, by their place among the video's text tracks, and the one that is shown (-1: none). */
export interface Captioning {
  tracks: { index: number; label: string }[];
  shown: number;
}

const speeds = [0.5, 1, 1.5, 2];

/** Players narrower than this have the menu in a sheet, px. */
const narrow = 560;

export class Menu {
  readonly box: HTMLElement;
  #opener: HTMLElement;
  #say: Say;
  #actions: MenuActions;
  #drawn = '';
  #outside: AbortController | undefined;

  constructor(box: HTMLElement, opener: HTMLElement, say: Say, actions: MenuActions) {
    this.box = box;
    this.#opener = opener;
    this.#say = say;
    this.#actions = actions;
    box.addEventListener('keydown', (e) => this.#walk(e));
    box.addEventListener('click', (e) => this.#clicked(e));
  }

  speak(say: Say): void {
    this.#say = say;
    this.#drawn = '';
  }

  get open(): boolean {
    return !this.box.hidden;
  }

  toggle(open = !this.open): void {
    if (open === this.open) return;
    this.box.hidden = !open;
    this.#opener.ariaExpanded = String(open);
    this.#outside?.abort();
    this.#sheet(open);
    if (!open) return;
    this.#outside = new AbortController();
    const host = (this.box.getRootNode() as ShadowRoot).host;
    document.addEventListener('pointerdown', (e) => e.composedPath().includes(host) || this.toggle(false), { signal: this.#outside.signal });
    this.#actions.learn();
    this.box.querySelector<HTMLElement>('[aria-checked=true]')?.focus({ preventScroll: true });
  }

  close(): void {
    this.#outside?.abort();
  }

  /** In the browser's top layer a sheet is not cut off by a small player. */
  #sheet(open: boolean): void {
    const host = (this.box.getRootNode() as ShadowRoot).host as HTMLElement;
    if (!open && this.box.popover) {
      this.box.hidePopover();
      this.box.popover = null;
    } else if (open && host.offsetWidth < narrow && 'showPopover' in this.box) {
      this.box.popover = 'manual';
      this.box.showPopover();
    }
  }

  render(view: View, wanted: Via | null, captions: Captioning): void {
    const { choices, layer, low, soundOnly, sound, past, speed } = view;
    const shape = JSON.stringify([wanted, choices, layer, low, soundOnly, sound, past !== undefined, speed, captions]);
    if (shape !== this.#drawn) {
      const focus = this.#focused();
      this.#drawn = shape;
      this.box.replaceChildren(...this.#parts(view, wanted, captions));
      if (focus) this.box.querySelector<HTMLElement>(`[data-key=${CSS.escape(focus)}]`)?.focus({ preventScroll: true });
    }
    this.#figures(view);
  }

  #focused(): string | undefined {
    return ((this.box.getRootNode() as ShadowRoot).activeElement as HTMLElement | null)?.dataset.key;
  }

  #parts(view: View, wanted: Via | null, captions: Captioning): HTMLElement[] {
    const t = this.#say;
    const { low, soundOnly, sound, past, speed } = view;
    const parts = [this.#group('via', 'rows', [null, ...ways].map((w) => ({
      key: `via:${w ?? ''}`, text: w ? t(`via.${w}`) : t('via.auto'), hint: w ? t(`via.${w}.hint`) : '', on: wanted === w,
    })))];
    if (view.choices.length > 1 && !soundOnly) parts.push(this.#qualities(view));
    if (past !== undefined) parts.push(this.#group('speed', 'pills', speeds.map((s) => ({ key: `speed:${s}`, text: `${s}×`, on: s === speed }))));
    if (captions.tracks.length) {
      const all = [{ index: -1, label: t('captions.none') }, ...captions.tracks];
      parts.push(this.#group('captions', 'pills', all.map((c) => ({ key: `caption:${c.index}`, text: c.label, on: c.index === captions.shown }))));
    }
    const switches = make('div', 'switches');
    if (view.choices.length > 1 && !soundOnly) switches.append(this.#switch('low', t('low'), t('low.hint'), low));
    if (sound) switches.append(this.#switch('sound', t('sound-only'), t('sound-only.hint'), soundOnly));
    if (switches.childElementCount) parts.push(switches);
    const help = make('button', 'keys', t('keys'));
    help.dataset.key = 'help:';
    parts.push(make('dl'), help);
    return parts;
  }

  /** The encodings, best first. Labels come from a stream's owner: they are text, never markup. */
  #qualities({ choices, layer }: View): HTMLElement {
    const sorted = [...choices].sort((a, b) => b.height - a.height);
    return this.#group('quality', 'pills', [
      { key: 'layer:', text: this.#say('layer.auto'), on: layer === null },
      ...sorted.map((c) => ({ key: `layer:${c.id}`, text: c.height ? `${c.height}p` : c.id, on: c.id === layer })),
    ]);
  }

  #group(name: 'via' | 'quality' | 'speed' | 'captions', look: string, items: { key: string; text: string; hint?: string; on: boolean }[]): HTMLElement {
    const group = make('div', look);
    group.setAttribute('role', 'radiogroup');
    group.ariaLabel = this.#say(name);
    group.append(...items.map((i) => {
      const b = make('button', '', i.text);
      b.setAttribute('role', 'radio');
      b.ariaChecked = String(i.on);
      b.dataset.key = i.key;
      if (i.hint) b.append(make('small', '', i.hint));
      return b;
    }));
    const section = make('section');
    section.append(make('h2', '', this.#say(name)), group);
    return section;
  }

  #switch(key: string, text: string, hint: string, on: boolean): HTMLElement {
    const b = make('button', '', text);
    b.setAttribute('role', 'switch');
    b.ariaChecked = String(on);
    b.dataset.key = `${key}:${on ? '' : 1}`;
    b.append(make('small', '', hint), make('i'));
    return b;
  }

  #figures({ figures: f, soundOnly }: View): void {
    const t = this.#say;
    const rows: [string, string][] = [
      [t('delay'), f.latency !== undefined ? delay(f.latency) : '–'],
      [t('rate'), f.bitrate ? `${(f.bitrate / 1e6).toFixed(f.bitrate < 1e5 ? 2 : 1)} Mb/s${f.codec ? ` · ${f.codec}` : ''}` : '–'],
    ];
    if (!soundOnly) rows.splice(1, 0, [t('quality'), f.height ? `${f.width} × ${f.height}${f.fps ? ` · ${f.fps}/s` : ''}` : '–']);
    if (f.loss !== undefined) rows.push([t('loss'), `${(f.loss * 100).toFixed(1)} %`]);
    this.box.querySelector('dl')?.replaceChildren(...rows.flatMap(([k, v]) => [make('dt', '', k), make('dd', '', v)]));
  }

  #clicked(e: Event): void {
    const key = (e.target as HTMLElement).closest('button')?.dataset.key;
    if (!key) return;
    const at = key.indexOf(':');
    const value = key.slice(at + 1);
    switch (key.slice(0, at)) {
      case 'via':
        this.toggle(false);
        return this.#actions.choose((value || null) as Via | null);
      case 'layer': return this.#actions.pick(value || null);
      case 'speed': return this.#actions.speed(Number(value));
      case 'caption': return this.#actions.caption(Number(value));
      case 'low': return this.#actions.save(value === '1');
      case 'sound': return this.#actions.listen(value === '1');
      case 'help':
        this.toggle(false);
        this.#actions.help();
    }
  }

  /** Arrows walk through the menu; they change nothing else then. */
  #walk(e: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[e.key];
    if (!step) return;
    e.preventDefault();
    e.stopPropagation();
    const items = [...this.box.querySelectorAll<HTMLElement>('button')];
    const at = items.indexOf((this.box.getRootNode() as ShadowRoot).activeElement as HTMLElement);
    items[(at + step + items.length) % items.length]?.focus();
  }
}

/** Below a second in ms, rounded to 5 so that it does not flicker; above in seconds. */
export function delay(ms: number): string {
  return ms < 1000 ? `${Math.max(5, Math.round(ms / 5) * 5)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function make(tag: string, className = '', text = ''): HTMLElement {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text) e.textContent = text;
  return e;
}
