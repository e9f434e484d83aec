/** A kept token may have been revoked, or be of another server: then it is refused everywhere, also where none is needed. */
import { forget, token } from '../player/token';

let asking = false;

/** Somebody was refused: is it the token that is wrong? Then it is forgotten, and the page begins again without. */
export async function doubt(): Promise<void> {
  const who = token();
  if (!who || asking) return;
  asking = true;
  const r = await fetch('/api/v1/me', { headers: { Authorization: `Bearer ${who}` } }).catch(() => null);
  asking = false;
  if (r?.status !== 401 || !forget(who)) return;
  location.reload();
}
