/** `/embed.js`: the player for foreign pages, by one script tag. The server is where the script came from. */
import { define } from './element';
import type { LoadHls } from './hls';

const server = new URL((document.currentScript as HTMLScriptElement | null)?.src || location.href).origin;

define({
  server: () => server,
  token: () => null,
  loadHls: () => import(/* @vite-ignore */ `${server}/embed-hls.js`) as ReturnType<LoadHls>,
});
