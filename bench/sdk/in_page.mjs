/** in_page.mjs - measurements in a page. */
import { measure } from './measure.mjs';
import { platformWebSocket } from './websocket_switch.mjs';

globalThis.measure = (what) => measure(what, platformWebSocket);
