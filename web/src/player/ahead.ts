/**
 * What HLS begins with, fetched before hls.js is there to ask for it: the playlists, the initialisation segment and the part that the first
 * picture is in. It is inlined into the pages' head, so it is small and knows nothing of hls.js.
 */
export interface Fetched {
  url: string;
  body: string | ArrayBuffer;
  /** seconds that it has lain in a cache, null if no cache says */
  age: number | null;
  /** ms until the answer began, and until it was whole */
  first: number;
  end: number;
}

/** Parts that follow the first one soon enough for hls.js to ask for them before it has shown a picture. */
const further = 3;

export class Ahead {
  #low: boolean;
  #asked = new Set<string>();
  #going = new Map<string, Promise<Fetched>>();

  /**
   * @param index address of the multivariant playlist
   * @param low low latency begins with parts; else only playlists are fetched
   * @param known files beside it that the page's server has named already: they are asked for before a playlist is read
   */
  constructor(index: string, low: boolean, known: string[] = []) {
    this.#low = low;
    for (const file of [index, ...known]) this.#fetch(new URL(file, index).href);
  }

  /** What was fetched from an address, once: who asks again wants it as it is then. */
  take(url: string): Promise<Fetched> | undefined {
    const going = this.#going.get(url);
    this.#going.delete(url);
    return going;
  }

  #fetch(url: string): void {
    if (this.#asked.has(url)) return;
    this.#asked.add(url);
    const going = get(url);
    this.#going.set(url, going);
    going.then((f) => this.#follow(f), ignore);
  }

  /** What a playlist names is next. */
  #follow({ url, body }: Fetched): void {
    if (typeof body !== 'string') return;
    const files = url.endsWith('/index.m3u8') ? renditions(body) : this.#low ? beginning(body) : [];
    for (const file of files) this.#fetch(new URL(file, url).href);
  }
}

/** hls.js asks again for what failed here, and tells. */
function ignore(): void {}

async function get(url: string): Promise<Fetched> {
  const began = performance.now();
  const r = await fetch(url);
  if (!r.ok) throw new Error(`${r.status} ${url}`);
  const first = performance.now() - began;
  const body = await (/\.m3u8$/.test(url) ? r.text() : r.arrayBuffer());
  const age = r.headers.get('age');
  return { url: r.url, body, age: age === null ? null : Number(age), first, end: performance.now() - began };
}

const attribute = (line: string, name: string) => new RegExp(`[:,]${name}="?([^",]+)`).exec(line)?.[1];

/** The media playlists that are played first: those of the only variant. Among several hls.js chooses. */
export function renditions(index: string): string[] {
  const lines = index.split('\n');
  const variants = lines.filter((l) => l && !l.startsWith('#'));
  const sound = lines.filter((l) => l.startsWith('#EXT-X-MEDIA:')).map((l) => attribute(l, 'URI'));
  return variants.length === 1 ? [...variants, ...sound.filter((u) => u !== undefined)] : [];
}

/** The files that a low-latency player begins with: what decoding starts with at the hold-back from the playlist's end, and what follows. */
export function beginning(media: string): string[] {
  const parts: { uri: string; end: number; key: boolean; init: string }[] = [];
  let at = 0, init = '', holdBack = 0;
  for (const line of media.split('\n')) {
    if (line.startsWith('#EXT-X-SERVER-CONTROL:')) holdBack = Number(attribute(line, 'PART-HOLD-BACK') ?? 0);
    else if (line.startsWith('#EXT-X-MAP:')) init = attribute(line, 'URI') ?? '';
    else if (line.startsWith('#EXT-X-PART:')) {
      at += Number(attribute(line, 'DURATION'));
      if (!line.includes('GAP=YES')) parts.push({ uri: attribute(line, 'URI')!, end: at, key: line.includes('INDEPENDENT=YES'), init });
    }
  }
  let first = -1;
  parts.forEach((p, i) => p.key && (first < 0 || (parts[i - 1]?.end ?? 0) <= at - holdBack) && (first = i));
  if (first < 0 || !parts[first]!.init) return [];
  return [parts[first]!.init, ...parts.slice(first, first + 1 + further).map((p) => p.uri)];
}
