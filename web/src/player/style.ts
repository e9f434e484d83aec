/** Style of the player's controls. White on the picture in both themes; a shade below the text keeps the contrast on bright pictures. */
export const style = `
:host { display: block; position: relative; aspect-ratio: 16 / 9; background: #111b1e; color: #fff; overflow: hidden; outline: none;
  font: 500 14px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "PingFang SC", "Noto Sans SC", "Microsoft YaHei", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-tap-highlight-color: transparent; user-select: none; }
:host(:fullscreen) { aspect-ratio: auto; }
::slotted(video), .still { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; background: transparent; }
:host([fit="cover"]) ::slotted(video), :host([fit="cover"]) .still { object-fit: cover; }
.still { pointer-events: none; }
[hidden], .moot { display: none !important; }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
button:focus-visible { outline: 2px solid #fff; outline-offset: 1px; }
.box { position: absolute; inset: 0; }
.box.idle { cursor: none; }
.shade { position: absolute; inset: auto 0 0; height: 132px; pointer-events: none; background: linear-gradient(transparent, rgb(4 10 12 / .78)); transition: opacity .25s; }
.controls { position: absolute; inset: auto 0 0; transition: opacity .25s; }
.bar { display: flex; align-items: center; gap: 2px; padding: 4px 10px 8px; }
.idle .controls, .idle .shade { opacity: 0; }
.bar button { height: 40px; min-width: 40px; border-radius: 10px; display: inline-flex; align-items: center; justify-content: center; text-shadow: 0 1px 2px rgb(0 0 0 / .5); }
.bar button:hover:enabled { background: rgb(255 255 255 / .16); }
.bar button:disabled { cursor: default; color: inherit; }
.bar [aria-pressed=true] { box-shadow: inset 0 -3px 0 #fff; border-radius: 10px 10px 6px 6px; }
.space { flex: 1; }
.chip { padding: 0 12px; gap: 8px; white-space: nowrap; }
.chip b { font-weight: 600; }
.chip span { opacity: .92; }
.bar .live { padding: 0 10px 0 0; white-space: nowrap; }
.dot { width: 8px; height: 8px; border-radius: 50%; background: #ff5a4d; margin: 0 8px 0 10px; flex: none; }
.dot.off { background: #97a6ab; }
.when { padding: 0 4px; font-weight: 600; white-space: nowrap; text-shadow: 0 1px 2px rgb(0 0 0 / .5); }
.when:empty { display: none; }
.delay { min-width: 64px; }

.scrub { position: relative; margin: 0 16px; }
.rail { position: relative; height: 26px; cursor: pointer; touch-action: none; outline: none; }
.line, .done { position: absolute; left: 0; top: 11px; height: 4px; border-radius: 2px; transition: top .12s, height .12s; }
.line { right: 0; background: rgb(255 255 255 / .2); overflow: hidden; }
.line i { position: absolute; inset-block: 0; background: rgb(255 255 255 / .42); }
.done { width: var(--at, 100%); background: #ff5a4d; }
.knob { position: absolute; left: var(--at, 100%); top: 13px; width: 14px; height: 14px; margin: -7px; border-radius: 50%; background: #fff; box-shadow: 0 1px 4px rgb(0 0 0 / .5); }
.rail:is(:hover, :active, :focus-visible) :is(.line, .done) { top: 10px; height: 6px; }
.rail:focus-visible .knob { outline: 2px solid #fff; outline-offset: 3px; }
.peek { position: absolute; bottom: 30px; translate: -50%; padding: 4px; border-radius: 10px; background: rgb(8 16 18 / .86); text-align: center; white-space: nowrap; pointer-events: none; }
.peek img { display: block; width: 160px; height: 90px; object-fit: contain; background: #000; border-radius: 7px; margin-bottom: 3px; }
.peek b { font-weight: 600; padding: 0 4px; }
.peek span { opacity: .8; padding-right: 4px; }
.peek span:empty { display: none; }

.captions { position: absolute; inset: auto 8% 20px; text-align: center; pointer-events: none; font-size: clamp(15px, 3.4cqi, 30px); line-height: 1.35; transition: bottom .2s; }
.captions p { margin: 0 auto; padding: 1px .5em; width: fit-content; background: rgb(4 10 12 / .78); white-space: pre-line; text-wrap: balance; }
.box:not(.idle) .captions { bottom: 92px; }
.ears { position: absolute; inset: 0; display: grid; place-content: center; justify-items: center; gap: 6px; background: #12201f; text-align: center; }
.ears svg { width: 56px; height: 56px; opacity: .9; }
.ears p { margin: 0; font-weight: 600; }
.toast { position: absolute; left: 50%; top: 14px; translate: -50%; padding: 6px 14px; border-radius: 999px; background: rgb(8 16 18 / .78); font-weight: 600; opacity: 0; transition: opacity .2s; pointer-events: none; }
.toast.on { opacity: 1; }
.say { position: absolute; left: 50%; top: 50%; translate: -50% -50%; max-width: min(82%, 420px); padding: 14px 20px; border-radius: 14px; text-align: center;
  background: rgb(8 16 18 / .74); backdrop-filter: blur(10px); }
.say.low { top: auto; left: 14px; bottom: 88px; translate: none; text-align: left; padding: 10px 14px; border-radius: 12px; }
.say p { margin: 0; font-weight: 600; text-wrap: balance; }
.say small { display: block; font-size: 13px; font-weight: 400; opacity: .88; margin-top: 2px; text-wrap: balance; }
.say button, .note button { margin-top: 8px; padding: 6px 14px; border-radius: 999px; background: #fff; color: #0b1214; font-weight: 600; }
.spin { width: 30px; height: 30px; border-radius: 50%; border: 3px solid rgb(255 255 255 / .28); border-top-color: #fff; animation: spin .9s linear infinite; position: absolute; left: 50%; top: 50%; margin: -15px; }
@keyframes spin { to { rotate: 1turn; } }
.unmute { position: absolute; left: 14px; top: 14px; height: 40px; padding: 0 16px 0 12px; border-radius: 999px; display: inline-flex; align-items: center; gap: 8px;
  background: rgb(8 16 18 / .62); backdrop-filter: blur(10px); font-weight: 600; }
.unmute:hover { background: rgb(8 16 18 / .8); }
.big { position: absolute; left: 50%; top: 50%; width: 76px; height: 76px; margin: -38px; border-radius: 50%; background: rgb(8 16 18 / .62); backdrop-filter: blur(10px); display: grid; place-items: center; }
.big svg { width: 38px; height: 38px; }
.note { position: absolute; right: 14px; top: 14px; max-width: min(70%, 340px); padding: 10px 14px; border-radius: 12px; background: rgb(8 16 18 / .78); backdrop-filter: blur(10px); font-size: 13px; }
.note .row { display: flex; gap: 8px; align-items: center; }
.note .row button:last-child { background: none; color: #fff; padding: 6px 4px; font-weight: 500; }
.menu { position: absolute; right: 10px; bottom: 56px; width: 290px; max-height: calc(100% - 66px); overflow: auto; overscroll-behavior: contain; scrollbar-width: thin; padding: 10px; border-radius: 14px; background: rgb(10 20 23 / .94); backdrop-filter: blur(14px); font-size: 13px; color: #fff; border: 0; }
.menu:popover-open { position: fixed; inset: auto 8px max(8px, env(safe-area-inset-bottom)); width: auto; margin: 0; max-height: min(76dvh, 620px); font-size: 15px; padding: 14px; box-shadow: 0 -8px 48px rgb(0 0 0 / .45); }
.menu section + section { margin-top: 10px; }
.menu h2 { font: inherit; font-weight: 600; opacity: .76; margin: 2px 8px 4px; }
.menu button { text-align: left; border-radius: 9px; }
.menu button:hover { background: rgb(255 255 255 / .12); }
.menu button:focus-visible { outline-offset: -2px; }
.menu small { opacity: .76; font-size: .93em; }
.rows button { display: grid; grid-template-columns: 20px 1fr auto; align-items: baseline; width: 100%; padding: 7px 8px; }
.rows button::before { content: ""; }
.rows [aria-checked=true]::before { content: "✓"; }
.pills { display: flex; flex-wrap: wrap; gap: 6px; padding: 2px 8px; }
.pills button { padding: 5px 12px; border-radius: 999px; background: rgb(255 255 255 / .12); }
.pills button:hover { background: rgb(255 255 255 / .22); }
.pills [aria-checked=true] { background: #fff; color: #0b1214; font-weight: 600; }
.switches { margin-top: 10px; }
.switches button { position: relative; display: block; width: 100%; padding: 7px 56px 7px 8px; }
.switches small { display: block; }
.switches i { position: absolute; right: 8px; top: 50%; width: 36px; height: 20px; margin-top: -10px; border-radius: 10px; background: rgb(255 255 255 / .26); transition: background .15s; }
.switches i::after { content: ""; position: absolute; left: 2px; top: 2px; width: 16px; height: 16px; border-radius: 50%; background: #fff; transition: translate .15s; }
.switches [aria-checked=true] i { background: #2fa39a; }
.switches [aria-checked=true] i::after { translate: 16px; }
.menu dl { display: grid; grid-template-columns: auto 1fr; gap: 4px 16px; margin: 10px 8px 4px; padding-top: 10px; border-top: 1px solid rgb(255 255 255 / .16); }
.menu dt { opacity: .76; }
.menu dd { margin: 0; text-align: right; }
.menu .keys { padding: 7px 8px; width: 100%; opacity: .88; }
@media (hover: none) { .menu .keys { display: none; } }
.help { position: absolute; inset: 12px; margin: auto; width: fit-content; height: fit-content; max-width: calc(100% - 24px); max-height: calc(100% - 24px); overflow: auto; padding: 18px 24px 20px; border-radius: 16px; background: rgb(10 20 23 / .95); outline: none; }
.help h2 { font: inherit; font-size: 15px; font-weight: 600; margin: 0 40px 12px 0; }
.help dl { display: grid; grid-template-columns: auto auto; gap: 7px 24px; margin: 0; align-items: center; }
.help dd { margin: 0; }
.help kbd { font: inherit; font-size: 13px; display: inline-block; min-width: 26px; padding: 1px 7px; margin-right: 4px; border-radius: 6px; text-align: center; background: rgb(255 255 255 / .16); }
.help > button { position: absolute; right: 10px; top: 10px; width: 36px; height: 36px; border-radius: 10px; display: grid; place-items: center; }
.help > button:hover { background: rgb(255 255 255 / .14); }
@container (min-width: 620px) { .help dl { grid-template-columns: auto auto auto auto; } }
:host([controls="none"]) :is(.controls, .shade, .toast, .unmute, .note, .menu, .big) { display: none; }
:host([controls="none"]) .say { padding: 8px 12px; font-size: 13px; }
@container (max-width: 560px) { .wide { display: none !important; } .delay { min-width: 0; } .bar { padding-inline: 4px; } .scrub { margin-inline: 12px; } .chip { padding-inline: 6px; } .peek img { width: 128px; height: 72px; } }
@container (max-width: 420px) { .bar .dvr { display: none; } .chip b { display: none; } .chip:has(.delay:empty) b { display: inline; } }
.box { container-type: inline-size; }
@media (prefers-reduced-motion: reduce) { .spin { animation-duration: 3s; } .controls, .shade, .captions, .toast { transition: none; } }
`;
