/** What the player shows over the picture: controls, words, menu. It knows what to show from a View and says what was pressed. */
import type { View } from './engine';
import { icon } from './icons';
import { ways, type Via } from './ladder';
import { style } from './style';
import { reasonWords, type Say } from './words';
import { span } from '../i18n/words';

export interface Actions {
  toggle(): void;
  mute(): void;
  fullscreen(): void;
  pip(): void;
  retry(): void;
  choose(via: Via | null): void;
  pick(layer: string | null): void;
  /** the menu was opened */
  learn(): void;
}

const html = `
<slot></slot>
<canvas class="still" hidden></canvas>
<div class="box" part="box">
  <div class="spin" hidden></div>
  <button class="big" hidden></button>
  <div class="say" role="status" hidden><p></p><small></small><button data-do="retry"></button></div>
  <button class="unmute" hidden></button>
  <div class="note" role="status" hidden><span></span><div class="row"><button data-do="back"></button><button data-do="dismiss"></button></div></div>
  <div class="shade"></div>
  <div class="bar">
    <button data-do="toggle"></button><button data-do="mute"></button>
    <i class="dot"></i><span class="state"></span>
    <span class="space"></span>
    <button class="chip" data-do="menu" aria-haspopup="menu" aria-expanded="false"><b></b><span class="quality wide"></span><span class="delay"></span></button>
    <button data-do="pip" class="wide"></button><button data-do="fullscreen"></button>
  </div>
  <div class="menu" role="menu" hidden></div>
</div>`;

export class Face {
  #root: ShadowRoot;
  #video: HTMLVideoElement;
  #say: Say;
  #actions: Actions;
  #view: View | undefined;
  #wanted: Via | null = null;
  #dismissed: View['fell'];
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(root: ShadowRoot, video: HTMLVideoElement, say: Say, actions: Actions) {
    this.#root = root;
    this.#video = video;
    this.#say = say;
    this.#actions = actions;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    root.adoptedStyleSheets = [sheet];
    root.innerHTML = html;
    this.#label();
    root.addEventListener('click', (e) => this.#clicked(e as MouseEvent));
    this.#find('.menu').addEventListener('keydown', (e) => this.#walk(e));
    root.addEventListener('pointermove', () => this.#wake());
    root.addEventListener('focusin', () => this.#wake());
  }

  /** Says everything in another language from now on. */
  speak(say: Say): void {
    this.#say = say;
    this.#find('.menu').replaceChildren();
    this.#label();
    this.full(document.fullscreenElement === this.#root.host);
    if (this.#view) this.render(this.#view, this.#wanted);
  }

  #find<T extends HTMLElement = HTMLElement>(selector: string): T {
    return this.#root.querySelector<T>(selector)!;
  }

  /** Texts and icons that never change. */
  #label(): void {
    const t = this.#say;
    this.#find('.unmute').innerHTML = `${icon('muted')}<span>${t('tap-unmute')}</span>`;
    this.#find('.big').innerHTML = icon('play');
    this.#find('.big').ariaLabel = t('play');
    this.#find('.say button').textContent = t('retry');
    this.#find('[data-do=dismiss]').textContent = t('close');
    this.#button('pip', 'pip', t('pip'));
    this.#find('[data-do=pip]').hidden = !document.pictureInPictureEnabled;
    this.#find('[data-do=menu]').ariaLabel = t('settings');
    this.sound();
    this.full(false);
  }

  #button(action: string, name: Parameters<typeof icon>[0], label: string): void {
    const b = this.#find(`[data-do=${action}]`);
    if (b.ariaLabel === label) return;
    b.innerHTML = icon(name);
    b.ariaLabel = b.title = label;
  }

  /** Keeps the picture that stands now above the video. */
  freeze(): void {
    const { videoWidth: w, videoHeight: h } = this.#video;
    const still = this.#find<HTMLCanvasElement>('.still');
    if (!w || this.#video.readyState < 2 || !still.hidden) return;
    still.width = w;
    still.height = h;
    still.getContext('2d')?.drawImage(this.#video, 0, 0);
    still.hidden = false;
  }

  /** The volume changed. */
  sound(): void {
    const muted = this.#video.muted;
    this.#button('mute', muted ? 'muted' : 'sound', this.#say(muted ? 'unmute' : 'mute'));
    if (!muted) this.#find('.unmute').hidden = true;
  }

  full(on: boolean): void {
    this.#button('fullscreen', on ? 'unfull' : 'full', this.#say(on ? 'fullscreen-exit' : 'fullscreen'));
  }

  /** @param wanted what the visitor chose in the menu */
  render(view: View, wanted: Via | null): void {
    const playing = view.state === 'playing';
    this.#view = view;
    this.#wanted = wanted;
    if (playing) this.#find('.still').hidden = true;
    this.#find('.spin').hidden = !(view.state === 'connecting' && !view.played);
    this.#find('.big').hidden = view.state !== 'paused';
    this.#button('toggle', view.state === 'paused' ? 'play' : 'pause', this.#say(view.state === 'paused' ? 'play' : 'pause'));
    this.#find('.unmute').hidden = !(playing && this.#video.muted && this.#hasSound());
    this.#words(view);
    this.#note(view);
    this.#line(view);
    if (!this.#find('.menu').hidden) this.#menu();
    if (!playing) this.#wake();
  }

  #hasSound(): boolean {
    const media = this.#video.srcObject;
    if (media instanceof MediaStream) return media.getAudioTracks().some((t) => !t.muted);
    const v = this.#video as { webkitAudioDecodedByteCount?: number; mozHasAudio?: boolean };
    return v.mozHasAudio ?? v.webkitAudioDecodedByteCount !== 0;
  }

  /** What is being waited for, in words. */
  #words(view: View): void {
    const t = this.#say;
    let head = '';
    let more = '';
    if (view.state === 'connecting' && view.played) head = t('reconnecting');
    if (view.state === 'waiting') {
      head = t('waiting');
      more = reasonWords(t, view.stream?.reason ?? '');
      if (view.played) more += `${more ? ' · ' : ''}${t('waiting.last', { ago: span(Date.now() - view.lastPicture, t) })}`;
    }
    if (view.state === 'ended') head = t('ended');
    if (view.state === 'error') {
      head = t(`error.${view.failure ?? 'network'}`);
      more = view.failure === 'missing' || view.failure === 'denied' || !view.text ? '' : view.text; // for these our words say it all
    }
    const box = this.#find('.say');
    box.hidden = !head;
    box.classList.toggle('low', view.played && view.state !== 'error');
    put(this.#find('.say p'), head);
    put(this.#find('.say small'), more);
    this.#find('.say small').hidden = !more;
    this.#find('.say button').hidden = view.state !== 'error';
  }

  #note(view: View): void {
    const fell = view.fell;
    const note = this.#find('.note');
    note.hidden = !fell || fell === this.#dismissed;
    if (!fell || note.hidden) return;
    const t = this.#say;
    put(note.querySelector('span')!, t('fell', { via: t(`via.${view.via}`), why: t(`fell.${fell.because as 'media'}`) }));
    put(this.#find('[data-do=back]'), t('fell.back', { via: t(`via.${fell.from}`) }));
  }

  /** The line in the bar: state, path, quality, delay. */
  #line(view: View): void {
    const t = this.#say;
    const f = view.figures;
    const playing = view.state === 'playing';
    this.#find('.dot').classList.toggle('off', !playing);
    put(this.#find('.state'), playing ? t('state.live') : view.state === 'paused' ? t('paused') : '');
    put(this.#find('.chip b'), t(`via.${view.via}`));
    put(this.#find('.quality'), f.height ? `${f.height}p` : '');
    put(this.#find('.delay'), playing && f.latency !== undefined ? delay(f.latency) : '');
  }

  #menu(): void {
    const t = this.#say;
    const menu = this.#find('.menu');
    const f = this.#view?.figures ?? {};
    const choices = [null, ...ways].map((w) => {
      const name = w ? t(`via.${w}`) : t('via.auto');
      const hint = w ? t(`via.${w}.hint`) : '';
      return `<button role="menuitemradio" aria-checked="${this.#wanted === w}" data-via="${w ?? ''}"><span>${name}</span><small>${hint}</small></button>`;
    });
    const rows: [string, string][] = [
      [t('delay'), f.latency !== undefined ? delay(f.latency) : '–'],
      [t('quality'), f.height ? `${f.width} × ${f.height}${f.fps ? ` · ${f.fps}/s` : ''}` : '–'],
      [t('rate'), f.bitrate ? `${(f.bitrate / 1e6).toFixed(1)} Mb/s${f.codec ? ` · ${f.codec}` : ''}` : '–'],
    ];
    if (f.loss !== undefined) rows.push([t('loss'), `${(f.loss * 100).toFixed(1)} %`]);
    if (!menu.childElementCount) menu.innerHTML = `<h2>${t('via')}</h2><div class="ways"></div><h2 class="layers">${t('quality')}</h2><div class="layers"></div><dl></dl>`;
    const list = menu.querySelector<HTMLElement>('.ways')!;
    if (list.dataset.wanted !== String(this.#wanted)) {
      list.dataset.wanted = String(this.#wanted);
      list.innerHTML = choices.join('');
    }
    this.#layers(menu);
    const dl = menu.querySelector('dl')!;
    dl.replaceChildren(...rows.flatMap(([k, v]) => [word('dt', k), word('dd', v)]));
  }

  /** The encodings, where there are several. Labels come from a stream's owner: they are text, never markup. */
  #layers(menu: HTMLElement): void {
    const { choices = [], layer = null } = this.#view ?? {};
    for (const e of menu.querySelectorAll<HTMLElement>('.layers')) e.hidden = choices.length < 2;
    const list = menu.querySelector<HTMLElement>('div.layers')!;
    const now = JSON.stringify([choices, layer]);
    if (list.dataset.now === now) return;
    list.dataset.now = now;
    const all = [{ id: '', text: this.#say('layer.auto') }, ...choices.map((c) => ({ id: c.id, text: c.height ? `${c.height}p` : c.id }))];
    list.replaceChildren(...all.map(({ id, text }) => {
      const b = document.createElement('button');
      b.setAttribute('role', 'menuitemradio');
      b.ariaChecked = String(id === (layer ?? ''));
      b.dataset.layer = id;
      b.textContent = text;
      return b;
    }));
  }

  #toggleMenu(open = this.#find('.menu').hidden): void {
    const menu = this.#find('.menu');
    menu.hidden = !open;
    this.#find('[data-do=menu]').ariaExpanded = String(open);
    if (!open) return;
    this.#actions.learn();
    this.#menu();
    menu.querySelector<HTMLElement>('[aria-checked=true]')?.focus();
  }

  #clicked(e: MouseEvent): void {
    const target = e.target as HTMLElement;
    const button = target.closest?.('button');
    if (!button) {
      if (!this.#find('.menu').hidden) return this.#toggleMenu(false);
      if (target.closest('.say, .note, .menu, .bar')) return;
      this.#wake();
      return;
    }
    if (button.classList.contains('unmute')) return this.#actions.mute();
    if (button.classList.contains('big')) return this.#actions.toggle();
    if (button.dataset.via !== undefined) {
      this.#toggleMenu(false);
      return this.#actions.choose((button.dataset.via || null) as Via | null);
    }
    if (button.dataset.layer !== undefined) return this.#actions.pick(button.dataset.layer || null);
    this.#act(button.dataset.do ?? '');
  }

  #act(action: string): void {
    switch (action) {
      case 'toggle': return this.#actions.toggle();
      case 'mute': return this.#actions.mute();
      case 'fullscreen': return this.#actions.fullscreen();
      case 'pip': return this.#actions.pip();
      case 'retry': return this.#actions.retry();
      case 'menu': return this.#toggleMenu();
      case 'back': return this.#actions.choose(null);
      case 'dismiss':
        this.#dismissed = this.#view?.fell;
        this.#find('.note').hidden = true;
    }
  }

  /** Arrows walk through the menu. */
  #walk(e: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!step) return;
    e.preventDefault();
    const items = [...this.#find('.menu').querySelectorAll<HTMLElement>('button')].filter((b) => b.offsetParent);
    const at = items.indexOf(this.#root.activeElement as HTMLElement);
    items[(at + step + items.length) % items.length]?.focus();
  }

  /** Escape closes the menu; true if there was one. */
  escape(): boolean {
    if (this.#find('.menu').hidden) return false;
    this.#toggleMenu(false);
    this.#find('[data-do=menu]').focus();
    return true;
  }

  /** Shows the controls, and hides them after a while of rest as long as it plays. */
  #wake(): void {
    const box = this.#find('.box');
    box.classList.remove('idle');
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      const busy = !this.#find('.menu').hidden || this.#root.activeElement?.matches(':focus-visible');
      if (this.#view?.state === 'playing' && !busy) box.classList.add('idle');
    }, 2800);
  }
}

/** Below a second in ms, rounded to 5 so that it does not flicker; above in seconds. */
function delay(ms: number): string {
  return ms < 1000 ? `${Math.max(5, Math.round(ms / 5) * 5)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function word(tag: 'dt' | 'dd', text: string): HTMLElement {
  const e = document.createElement(tag);
  e.textContent = text;
  return e;
}

/** Writes only what changed: screen readers speak a status again whenever its text is set. */
function put(e: Element, text: string): void {
  if (e.textContent !== text) e.textContent = text;
}
