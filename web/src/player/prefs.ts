/** What a viewer has chosen, kept for this browser. */
const key = (name: string) => `watershed.player.${name}`;

export function pref(name: string, otherwise: boolean): boolean {
  try {
    const kept = localStorage.getItem(key(name));
    return kept === null ? otherwise : kept === '1';
  } catch {
    return otherwise;
  }
}

export function keepPref(name: string, value: boolean): void {
  try {
    localStorage.setItem(key(name), value ? '1' : '0');
  } catch {
    // storage may be closed to us, in a frame or in a private window: it holds for this page
  }
}
