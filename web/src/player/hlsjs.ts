/** hls.js in a module of its own: it is loaded when somebody plays by HLS, and only then. */
import Hls from 'hls.js';

export { Hls };
