/** The player on Watershed's own pages. */
import { define } from './element';
import { token } from './token';

define({ server: () => location.origin, token, loadHls: () => import('./hlsjs') });
