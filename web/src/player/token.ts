const kept = 'watershed.token';

/**
 * The visitor's token: from `#token=…`, which then leaves the address bar and is kept for this browser, else as kept. It is never put into a query.
 * What a one-time link carries (`once-…`) is no token yet: it is exchanged first.
 */
export function token(): string | null {
  const hash = new URLSearchParams(location.hash.slice(1));
  let given = hash.get('token');
  if (given) {
    hash.delete('token');
    history.replaceState(history.state, '', location.pathname + location.search + (hash.size ? `#${hash}` : ''));
    if (given.startsWith('once-')) given = redeem(given);
  }
  try {
    if (given) localStorage.setItem(kept, given);
    const mine = given ?? localStorage.getItem(kept);
    if (!mine || !over(mine)) return mine;
    localStorage.removeItem(kept); // the server refuses it everywhere, also where none is needed
    return null;
  } catch {
    return given; // storage may be closed to us, in a frame or in a private window
  }
}

/** Forgets a kept token; false if it was not kept, so that asking again would change nothing. */
export function forget(mine: string): boolean {
  try {
    if (localStorage.getItem(kept) !== mine) return false;
    localStorage.removeItem(kept);
    return true;
  } catch {
    return false;
  }
}

/** Exchanges a one-time link's word. The page waits for it, this once: everything that it does next it does as this visitor. */
function redeem(ticket: string): string | null {
  const r = new XMLHttpRequest();
  try {
    r.open('POST', '/api/v1/tokens/redeem', false);
    r.setRequestHeader('Content-Type', 'application/json');
    r.send(JSON.stringify({ ticket }));
    const answer = JSON.parse(r.responseText);
    if (r.status === 201) return answer.token;
    console.warn(answer.detail);
  } catch (e) {
    console.warn(e);
  }
  return null;
}

/** Whether a token's time is over. A stream key has none. */
function over(jwt: string): boolean {
  try {
    const payload = JSON.parse(atob(jwt.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/')));
    return payload.exp * 1000 <= Date.now();
  } catch {
    return false;
  }
}
