/** /embed/{stream}: nothing but the player, as large as its frame. */
import '../player/here';
import '../style/embed.css';

const player = document.querySelector('watershed-player') as (HTMLElement & { press(e: KeyboardEvent): boolean }) | null;
addEventListener('keydown', (e) => e.target === document.body && player?.press(e) && e.preventDefault());
