/** Path tokens: signaling/token/path.go says the form. Only Web Crypto is used, so this runs in every runtime of the edge. */

/** Why a token is refused: the words of the test vectors. */
export type Verdict = 'ok' | 'form' | 'key' | 'forged' | 'expired' | 'stream';

const form = /^v1\.([a-z0-9]{1,16})\.([1-9][0-9]{0,10})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$/;

/** Checks a path token at a time (Unix seconds) for a stream. */
export async function verify(token: string, stream: string, now: number, keys: Map<string, Uint8Array<ArrayBuffer>>): Promise<Verdict> {
  const parts = token.length <= 1024 && !/[\r\n]/.test(token) ? form.exec(token) : null;
  const [, kid = '', exp = '', scope64 = '', mac64 = ''] = parts ?? [];
  const mac = parts && decode(mac64);
  if (!mac) return 'form';
  const key = keys.get(kid);
  if (!key) return 'key';
  const hmac = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
  const body = new TextEncoder().encode(token.slice(0, token.lastIndexOf('.')));
  if (!(await crypto.subtle.verify('HMAC', hmac, mac, body))) return 'forged';
  const scope = decode(scope64);
  if (!scope) return 'form';
  if (now >= Number(exp)) return 'expired';
  const [patterns = ''] = new TextDecoder().decode(scope).split('#', 1);
  return patterns.split(',').some((p) => matches(p, stream)) ? 'ok' : 'stream';
}

/** Decodes base64url in its one form: no padding, unused bits zero. Anything else is undefined. */
function decode(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 4 === 1) return undefined;
  const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
  const again = btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  return again === text ? bytes : undefined;
}

/** Whether a pattern covers a name. A star stands for any characters of a name, none too, but not for ~ and /. */
export function matches(pattern: string, name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let from = 0;
  while (n < name.length) {
    if (pattern[p] === '*') {
      star = p++;
      from = n;
    } else if (pattern[p] === name[n]) {
      p++;
      n++;
    } else if (star >= 0 && name[from] !== '~' && name[from] !== '/') {
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** Keys by id, of lines such as `k1=V7-W...`. */
export function readKeys(text: string): Map<string, Uint8Array<ArrayBuffer>> {
  const keys = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const line of text.split(/\s+/)) {
    const [kid = '', key = ''] = line.split('=');
    const bytes = kid && /^[A-Za-z0-9_-]+$/.test(key) ? decode(key) : undefined;
    if (bytes) keys.set(kid, bytes);
  }
  return keys;
}
