/** payload.ts - what a message carries, as text: JSON on several lines, bytes by their number. */
import { bytes, visible } from './format.js';
import type { Message } from './types.js';

/** What newer browsers have: the text of a number, and a value that is written out as such a text. */
interface Context {
  readonly source?: string;
}
const { rawJSON } = JSON as unknown as { readonly rawJSON?: (text: string) => unknown };

/** JSON, in which numbers stay as they were written where the browser can do that: a payload's may be longer than a number of this language. */
export function parseExactly(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: Context) => {
    const source = context?.source;
    return rawJSON && source !== undefined && typeof value === 'number' && String(value) !== source && !Number.isSafeInteger(value) ? rawJSON(source) : value;
  });
}

const shownMax = 4000;

export function payloadText(message: Message): string {
  if (message.payloadBase64 !== undefined) return `${bytes(Math.floor((message.payloadBase64.length * 3) / 4))} of bytes, in Base64: ${cut(message.payloadBase64)}`;
  return cut(JSON.stringify(message.payload, null, 2) ?? 'null');
}

/** On one line. */
export function payloadLine(message: Message): string {
  const text = message.payloadBase64 === undefined ? (JSON.stringify(message.payload) ?? 'null') : payloadText(message);
  return visible(text.length > 300 ? `${text.slice(0, 300)} …` : text);
}

/** Line by line: the ends of lines are ours. */
function cut(text: string): string {
  const shown = text.length > shownMax ? `${text.slice(0, shownMax)} … (${text.length - shownMax} characters more)` : text;
  return shown.split('\n').map(visible).join('\n');
}
