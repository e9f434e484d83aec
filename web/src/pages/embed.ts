/** /embed/{stream}: nothing but the player, as large as its frame. */
import '../player/here';
import '../style/embed.css';
