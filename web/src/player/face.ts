/** What the player shows over the picture: controls, words, menu. It knows what to show from a View and says what was pressed. */
import type { Captioning, MenuActions } from './menu';
import type { View } from './engine';
import { icon } from './icons';
import { helpOf } from './keys';
import type { Via } from './ladder';
import { delay, Menu } from './menu';
import { Scrub, scrubHTML, type ScrubActions } from './scrub';
import { style } from './style';
import { clockOf, reasonWords, type Say } from './words';
import { span } from '../i18n/words';

export interface Actions extends Omit<MenuActions, 'help'>, ScrubActions {
  toggle(): void;
  mute(): void;
  fullscreen(): void;
  pip(): void;
  retry(): void;
  captions(): void;
}

const html = `
<slot></slot>
<canvas class="still" hidden></canvas>
<div class="box" part="box">
  <div class="ears" hidden></div>
  <div class="captions" part="captions" hidden></div>
  <div class="spin" hidden></div>
  <button class="big" hidden></button>
  <div class="say" role="status" hidden><p></p><small></small><button data-do="retry"></button></div>
  <button class="unmute" hidden></button>
  <div class="note" role="status" hidden><span></span><div class="row"><button data-do="back"></button><button data-do="dismiss"></button></div></div>
  <div class="toast" role="status"></div>
  <div class="shade"></div>
  <div class="controls">
    ${scrubHTML}
    <div class="bar">
      <button data-do="toggle"></button><button data-do="earlier" class="dvr"></button><button data-do="later" class="dvr wide"></button><button data-do="mute"></button>
      <button data-do="live" class="live"><i class="dot"></i><span class="state"></span></button><span class="when"></span>
      <span class="space"></span>
      <button class="chip" data-do="menu" aria-haspopup="dialog" aria-expanded="false"><b></b><span class="quality wide"></span><span class="delay"></span></button>
      <button data-do="captions" hidden></button><button data-do="pip" class="wide"></button><button data-do="fullscreen"></button>
    </div>
  </div>
  <div class="menu" role="dialog" hidden></div>
  <div class="help" role="dialog" tabindex="-1" hidden></div>
</div>`;

/** ms that a word about a key stays. */
const toastStays = 1200;
/** ms of rest after which the controls leave a picture that plays. */
const restful = 2800;

export class Face {
  readonly captions: HTMLElement;
  #root: ShadowRoot;
  #video: HTMLVideoElement;
  #say: Say;
  #actions: Actions;
  #menu: Menu;
  #scrub: Scrub;
  #view: View | undefined;
  #wanted: Via | null = null;
  #captioning: Captioning = { tracks: [], shown: -1 };
  #dismissed: View['fell'];
  #idle: ReturnType<typeof setTimeout> | undefined;
  #toast: ReturnType<typeof setTimeout> | undefined;

  constructor(root: ShadowRoot, video: HTMLVideoElement, say: Say, actions: Actions) {
    this.#root = root;
    this.#video = video;
    this.#say = say;
    this.#actions = actions;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    root.adoptedStyleSheets = [sheet];
    root.innerHTML = html;
    this.captions = this.#find('.captions');
    this.#menu = new Menu(this.#find('.menu'), this.#find('[data-do=menu]'), say, { ...actions, help: () => this.help() });
    this.#scrub = new Scrub(this.#find('.scrub'), say, actions);
    this.#label();
    root.addEventListener('click', (e) => this.#clicked(e as MouseEvent));
    root.addEventListener('pointermove', () => this.#wake());
    root.addEventListener('focusin', () => this.#wake());
  }

  /** Says everything in another language from now on. */
  speak(say: Say): void {
    this.#say = say;
    this.#menu.speak(say);
    this.#scrub.speak(say);
    this.#label();
    this.full(document.fullscreenElement === this.#root.host);
    if (!this.#find('.help').hidden) this.#find('.help').replaceChildren(...helpOf(say));
    if (this.#view) this.render(this.#view, this.#wanted);
  }

  /** Nothing runs on in a face that was taken off the page. */
  rest(): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#toast);
    this.#menu.close();
    this.#scrub.close();
  }

  #find<T extends HTMLElement = HTMLElement>(selector: string): T {
    return this.#root.querySelector<T>(selector)!;
  }

  /** Texts and icons that never change. */
  #label(): void {
    const t = this.#say;
    this.#find('.unmute').innerHTML = `${icon('muted')}<span>${t('tap-unmute')}</span>`;
    this.#find('.ears').innerHTML = `${icon('ears')}<p>${t('sound-only')}</p>`;
    this.#find('.big').innerHTML = icon('play');
    this.#find('.big').ariaLabel = t('play');
    this.#find('.say button').textContent = t('retry');
    this.#find('[data-do=dismiss]').textContent = t('close');
    this.#find('.menu').ariaLabel = this.#find('[data-do=menu]').ariaLabel = t('settings');
    this.#find('.help').ariaLabel = t('keys');
    this.#button('pip', 'pip', t('pip'));
    this.#button('earlier', 'earlier', t('earlier'));
    this.#button('later', 'later', t('later'));
    this.#find('[data-do=pip]').hidden = !document.pictureInPictureEnabled;
    this.#captionButton();
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

  /** What captions there are, and which are shown. */
  caption(c: Captioning): void {
    this.#captioning = c;
    this.#captionButton();
    if (this.#view && this.#menu.open) this.#menu.render(this.#view, this.#wanted, c);
  }

  #captionButton(): void {
    const b = this.#find('[data-do=captions]');
    b.hidden = !this.#captioning.tracks.length;
    this.#button('captions', 'captions', this.#say('captions'));
    b.ariaPressed = String(this.#captioning.shown >= 0);
  }

  /** @param wanted what the visitor chose in the menu */
  render(view: View, wanted: Via | null): void {
    const playing = view.state === 'playing';
    this.#view = view;
    this.#wanted = wanted;
    if (playing) this.#find('.still').hidden = true;
    this.#find('.ears').hidden = !view.soundOnly;
    this.#find('.spin').hidden = !(view.state === 'connecting' && (!view.played || view.past !== undefined));
    this.#find('.big').hidden = view.state !== 'paused';
    this.#button('toggle', view.state === 'paused' ? 'play' : 'pause', this.#say(view.state === 'paused' ? 'play' : 'pause'));
    this.#find('.unmute').hidden = !(playing && this.#video.muted && (view.sound || this.#hasSound()));
    this.#words(view);
    this.#note(view);
    this.#line(view);
    this.#scrub.render(view.history, view.past);
    if (this.#menu.open) this.#menu.render(view, wanted, this.#captioning);
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
    if (view.state === 'connecting' && view.played && view.past === undefined) head = t('reconnecting');
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
    const back = this.#find('[data-do=back]');
    back.hidden = fell.from === 'past';
    if (fell.from === 'past') return put(note.querySelector('span')!, t('fell.past'));
    put(note.querySelector('span')!, t('fell', { via: t(`via.${view.via}`), why: t(`fell.${fell.because as 'media'}`) }));
    put(back, t('fell.back', { via: t(`via.${fell.from}`) }));
  }

  /** The line in the bar: state, time, path, quality, delay. */
  #line(view: View): void {
    const t = this.#say;
    const f = view.figures;
    const playing = view.state === 'playing';
    const past = view.past !== undefined;
    const live = this.#find<HTMLButtonElement>('.live');
    live.disabled = !past && !(view.history && view.state === 'paused');
    live.title = live.disabled || past ? '' : t('to-live');
    this.#find('.dot').classList.toggle('off', !playing || past);
    const idle = view.state === 'error' && !view.played; // there is nothing to pause or to hear
    for (const b of ['toggle', 'mute', 'pip']) this.#find(`[data-do=${b}]`).classList.toggle('moot', idle);
    this.#find('.live').hidden = idle;
    put(this.#find('.state'), past ? t('to-live') : playing || view.history ? t('state.live') : view.state === 'paused' ? t('paused') : '');
    put(this.#find('.when'), past ? clockOf(t, view.past!) : '');
    for (const b of this.#root.querySelectorAll<HTMLElement>('.dvr')) b.hidden = !view.history;
    put(this.#find('.chip b'), past ? t('via.past') : t(`via.${view.via}`));
    put(this.#find('.quality'), f.height && !view.soundOnly ? `${f.height}p` : '');
    put(this.#find('.delay'), past ? '' : playing && f.latency !== undefined ? delay(f.latency) : '');
    this.#find('.delay').hidden = past;
  }

  /** Says shortly what a key has done. */
  toast(text: string): void {
    const e = this.#find('.toast');
    put(e, text);
    e.classList.add('on');
    clearTimeout(this.#toast);
    this.#toast = setTimeout(() => e.classList.remove('on'), toastStays);
  }

  /** Goes some ms forth or back in time; false where there is no past. */
  nudge(ms: number): boolean {
    this.#wake();
    return this.#scrub.nudge(ms);
  }

  /** Opens or closes the list of keys. */
  help(): void {
    const help = this.#find('.help');
    help.hidden = !help.hidden;
    if (help.hidden) return (this.#root.host as HTMLElement).focus({ preventScroll: true });
    help.replaceChildren(...helpOf(this.#say), this.#closer());
    help.focus({ preventScroll: true });
  }

  #closer(): HTMLElement {
    const b = document.createElement('button');
    b.innerHTML = icon('close');
    b.dataset.do = 'help';
    b.ariaLabel = b.title = this.#say('close');
    return b;
  }

  #clicked(e: MouseEvent): void {
    const target = e.target as HTMLElement;
    const button = target.closest?.('button');
    if (target.closest?.('.menu')) return;
    if (!button) {
      this.#menu.toggle(false);
      if (!target.closest?.('.help')) this.#find('.help').hidden = true;
      return this.#wake();
    }
    if (button.classList.contains('unmute')) return this.#actions.mute();
    if (button.classList.contains('big')) return this.#actions.toggle();
    this.#act(button.dataset.do ?? '');
  }

  #act(action: string): void {
    switch (action) {
      case 'toggle': return this.#actions.toggle();
      case 'mute': return this.#actions.mute();
      case 'fullscreen': return this.#actions.fullscreen();
      case 'pip': return this.#actions.pip();
      case 'retry': return this.#actions.retry();
      case 'captions': return this.#actions.captions();
      case 'live': return this.#actions.live();
      case 'earlier': return void this.nudge(-10_000);
      case 'later': return void this.nudge(10_000);
      case 'help': return this.help();
      case 'menu':
        if (this.#view) this.#menu.render(this.#view, this.#wanted, this.#captioning);
        return this.#menu.toggle();
      case 'back': return this.#actions.choose(null);
      case 'dismiss':
        this.#dismissed = this.#view?.fell;
        this.#find('.note').hidden = true;
    }
  }

  /** Escape closes what lies over the picture; true if there was something. */
  escape(): boolean {
    if (!this.#find('.help').hidden) return this.help(), true;
    if (!this.#menu.open) return false;
    this.#menu.toggle(false);
    this.#find('[data-do=menu]').focus();
    return true;
  }

  /** Shows the controls, and hides them after a while of rest as long as it plays. */
  #wake(): void {
    const box = this.#find('.box');
    box.classList.remove('idle');
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      const busy = this.#menu.open || this.#scrub.busy || this.#root.activeElement?.matches(':focus-visible');
      if (this.#view?.state === 'playing' && !busy) box.classList.add('idle');
    }, restful);
  }
}

/** Writes only what changed: screen readers speak a status again whenever its text is set. */
function put(e: Element, text: string): void {
  if (e.textContent !== text) e.textContent = text;
}
