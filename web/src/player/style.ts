/** Style of the player's controls. White on the picture in both themes; a shade below the text keeps the contrast on bright pictures. */
export const style = `
:host { display: block; position: relative; aspect-ratio: 16 / 9; background: #111b1e; color: #fff; overflow: hidden; outline: none;
  font: 500 14px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "PingFang SC", "Noto Sans SC", "Microsoft YaHei", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-tap-highlight-color: transparent; user-select: none; }
:host(:fullscreen) { aspect-ratio: auto; }
::slotted(video), .still { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; background: transparent; }
:host([fit="cover"]) ::slotted(video), :host([fit="cover"]) .still { object-fit: cover; }
.still { pointer-events: none; }
[hidden] { display: none !important; }
button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
button:focus-visible, [role=menuitemradio]:focus-visible { outline: 2px solid #fff; outline-offset: 1px; }
.box { position: absolute; inset: 0; }
.box.idle { cursor: none; }
.shade { position: absolute; inset: auto 0 0; height: 112px; pointer-events: none; background: linear-gradient(transparent, rgb(4 10 12 / .72)); transition: opacity .25s; }
.bar { position: absolute; inset: auto 0 0; display: flex; align-items: center; gap: 2px; padding: 8px 10px; transition: opacity .25s; }
.idle .bar, .idle .shade { opacity: 0; }
.bar button { height: 40px; min-width: 40px; border-radius: 10px; display: inline-flex; align-items: center; justify-content: center; text-shadow: 0 1px 2px rgb(0 0 0 / .5); }
.bar button:hover { background: rgb(255 255 255 / .16); }
.space { flex: 1; }
.chip { padding: 0 12px; gap: 8px; white-space: nowrap; }
.chip b { font-weight: 600; }
.chip span { opacity: .92; }
.dot { width: 8px; height: 8px; border-radius: 50%; background: #ff5a4d; margin: 0 8px 0 10px; flex: none; }
.dot.off { background: #97a6ab; }
.delay { min-width: 64px; }
.say { position: absolute; left: 50%; top: 50%; translate: -50% -50%; max-width: min(82%, 420px); padding: 14px 20px; border-radius: 14px; text-align: center;
  background: rgb(8 16 18 / .74); backdrop-filter: blur(10px); }
.say.low { top: auto; left: 14px; bottom: 58px; translate: none; text-align: left; padding: 10px 14px; border-radius: 12px; }
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
.menu { position: absolute; right: 10px; bottom: 58px; width: 264px; max-height: calc(100% - 70px); overflow: auto; padding: 8px; border-radius: 14px; background: rgb(10 20 23 / .9); backdrop-filter: blur(14px); font-size: 13px; }
.menu h2 { font: inherit; font-weight: 600; opacity: .72; margin: 4px 10px 6px; }
.menu [role=menuitemradio] { display: grid; grid-template-columns: 20px 1fr auto; align-items: baseline; width: 100%; text-align: left; padding: 8px 10px; border-radius: 9px; }
.menu [role=menuitemradio]:hover { background: rgb(255 255 255 / .12); }
.menu [aria-checked=true]::before { content: "✓"; }
.menu [aria-checked=false]::before { content: ""; }
.menu small { opacity: .72; font-size: 12px; }
.menu dl { display: grid; grid-template-columns: auto 1fr; gap: 4px 16px; margin: 8px 10px 6px; padding-top: 10px; border-top: 1px solid rgb(255 255 255 / .16); }
.menu dt { opacity: .72; }
.menu dd { margin: 0; text-align: right; }
:host([controls="none"]) :is(.bar, .shade, .unmute, .note, .menu, .big) { display: none; }
:host([controls="none"]) .say { padding: 8px 12px; font-size: 13px; }
@container (max-width: 460px) { .wide { display: none !important; } .delay { min-width: 0; } }
.box { container-type: inline-size; }
@media (prefers-reduced-motion: reduce) { .spin { animation-duration: 3s; } .bar, .shade { transition: none; } }
`;
