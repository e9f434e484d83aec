/**
 * The visitor's token: from `#token=…`, which then leaves the address bar and is kept for this browser, else as kept. It is never put into a query.
 */
export function token(): string | null {
  const hash = new URLSearchParams(location.hash.slice(1));
  const given = hash.get('token');
  try {
    if (given) {
      localStorage.setItem('watershed.token', given);
      hash.delete('token');
      history.replaceState(history.state, '', location.pathname + location.search + (hash.size ? `#${hash}` : ''));
    }
    return given ?? localStorage.getItem('watershed.token');
  } catch {
    return given; // storage may be closed to us, in a frame or in a private window
  }
}
