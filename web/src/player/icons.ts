/** Icons as SVG paths on a 24-unit grid, drawn with a stroke of the text's colour. */
const paths = {
  play: '<path d="M8 5.5v13l10.5-6.5z" fill="currentColor"/>',
  pause: '<path d="M8.5 6v12M15.5 6v12" stroke-width="2.6"/>',
  sound: '<path d="M4 10v4h3.5L12 18V6L7.5 10zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11"/>',
  muted: '<path d="M4 10v4h3.5L12 18V6L7.5 10zM16 9.5l5 5M21 9.5l-5 5"/>',
  full: '<path d="M4 9V4.5h5M20 9V4.5h-5M4 15v4.5h5M20 15v4.5h-5"/>',
  unfull: '<path d="M9 4v5H4M15 4v5h5M9 20v-5H4M15 20v-5h5"/>',
  pip: '<path d="M3.5 5.5h17v13h-17z"/><path d="M12 12h6v4.5h-6z" fill="currentColor"/>',
  earlier: '<path d="M4.5 5v4.5H9M5 9.2A8 8 0 1 1 4 13"/><path d="M9.6 10.8l1.4-.8v5.6M13.4 12.2c0-1.3.6-2.2 1.6-2.2s1.6.9 1.6 2.2v1.2c0 1.3-.6 2.2-1.6 2.2s-1.6-.9-1.6-2.2z" stroke-width="1.3"/>',
  later: '<path d="M19.5 5v4.5H15M19 9.2A8 8 0 1 0 20 13"/><path d="M7.6 10.8l1.4-.8v5.6M11.4 12.2c0-1.3.6-2.2 1.6-2.2s1.6.9 1.6 2.2v1.2c0 1.3-.6 2.2-1.6 2.2s-1.6-.9-1.6-2.2z" stroke-width="1.3"/>',
  captions: '<path d="M3.5 5.5h17v13h-17z"/><path d="M10.5 10.6a2 2 0 1 0 0 2.8M17 10.6a2 2 0 1 0 0 2.8"/>',
  ears: '<path d="M4.5 10v4M8.2 7v10M12 4v16M15.8 7v10M19.5 10v4"/>',
  close: '<path d="M6.5 6.5l11 11M17.5 6.5l-11 11"/>',
} as const;

export type Icon = keyof typeof paths;

export function icon(name: Icon): string {
  return `<svg viewBox="0 0 24 24" width="22" height="22" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${paths[name]}</svg>`;
}
