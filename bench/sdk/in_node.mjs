/** in_node.mjs WHAT - one measurement in this process: WHAT is JSON, the answer is JSON. */
import { WebSocket } from 'ws';
import { measure } from './measure.mjs';

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2]), WebSocket)));
process.exit(0); // Clients keep timers.
