// Builds web/dist: the pages' modules (hashed names, manifest), the two scripts that stand alone, and a
// .br and .gz beside every text file. The Go package in this folder embeds the result.
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { build } from 'vite';

const out = 'dist';
const shared = { configFile: false, logLevel: 'warn', publicDir: false };

rmSync(out, { recursive: true, force: true });

await build({
  ...shared,
  publicDir: 'public',
  build: {
    outDir: out,
    manifest: 'manifest.json',
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: {
        hub: 'src/pages/hub.tsx',
        watch: 'src/pages/watch.tsx',
        room: 'src/pages/room.tsx',
        publish: 'src/pages/publish.tsx',
        embed: 'src/pages/embed.ts',
      },
      output: {
        // Two shared files instead of a dozen: HTTP/1.1 has six connections, and the offer wants one of them.
        codeSplitting: {
          groups: [
            { name: 'player', test: /src\/(player\/(?!hlsjs|pace|steady)|i18n\/(player|words))/, priority: 2 },
            { name: 'ui', test: /(node_modules\/(@?preact)|src\/(ui|i18n|publish)\/|src\/(api|socket))/, priority: 1 },
          ],
        },
      },
    },
  },
});

/** One classic script with everything inside, under a name that never changes. */
function alone(entry, name, format) {
  return build({
    ...shared,
    build: {
      outDir: out,
      emptyOutDir: false,
      copyPublicDir: false,
      target: 'es2022',
      lib: { entry, formats: [format], name: 'watershed', fileName: () => name },
    },
  });
}

await alone('src/player/early.ts', 'early.js', 'iife');
await alone('src/player/standalone.ts', 'embed.js', 'iife');
await alone('src/player/hlsjs.ts', 'embed-hls.js', 'es');

function files(dir) {
  return readdirSync(dir).flatMap((n) => {
    const p = join(dir, n);
    return statSync(p).isDirectory() ? files(p) : [p];
  });
}

for (const f of files(out)) {
  if (!/\.(js|css|svg|json|webmanifest)$/.test(f)) continue;
  const text = readFileSync(f);
  writeFileSync(f + '.gz', gzipSync(text, { level: 9 }));
  writeFileSync(f + '.br', brotliCompressSync(text, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: text.length },
  }));
}

const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'));

/** Files that the entry loads before it runs, itself included. */
function needs(key, seen = new Set()) {
  const e = manifest[key];
  if (seen.has(e.file)) return seen;
  seen.add(e.file);
  for (const c of e.css ?? []) seen.add(c);
  for (const i of e.imports ?? []) needs(i, seen);
  return seen;
}

for (const [key, e] of Object.entries(manifest)) {
  if (!e.isEntry) continue;
  const bytes = [...needs(key)].reduce((n, f) => n + statSync(join(out, f + '.gz')).size, 0);
  console.log(`${e.name.padEnd(8)} ${(bytes / 1024).toFixed(1).padStart(6)} KB gzipped`);
  if (e.name === 'watch' && bytes > 100 * 1024) throw new Error('/watch weighs more than 100 KB gzipped');
}
