/** The largest equal tiles for n pictures in a box. */

export interface Grid {
  columns: number;
  width: number;
  height: number;
}

/**
 * @param ratio width to height of a tile
 * @param narrowest to which it may shrink when that makes tiles larger: a phone held upright has room for upright people
 */
export function fit(n: number, width: number, height: number, gap: number, ratio = 16 / 9, narrowest = width > height ? 4 / 3 : 3 / 4): Grid {
  let best: Grid = { columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= Math.max(1, n); columns++) {
    const rows = Math.ceil(n / columns);
    const w = (width - gap * (columns - 1)) / columns;
    const h = (height - gap * (rows - 1)) / rows;
    if (w <= 0 || h <= 0) continue;
    const r = Math.min(ratio, Math.max(narrowest, w / h));
    const tile = { columns, width: Math.floor(Math.min(w, h * r)), height: Math.floor(Math.min(h, w / r)) };
    if (tile.width * tile.height > best.width * best.height) best = tile;
  }
  return best;
}
