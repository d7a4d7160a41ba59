/** base64.ts - bytes as text, as JSON has them (RFC 4648 section 4, with padding). */

/** Arguments of one call: a platform's stack has room for so many. */
const pieceBytes = 8192;

export function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (let i = 0; i < bytes.length; i += pieceBytes) binary += String.fromCharCode(...bytes.subarray(i, i + pieceBytes));
  return btoa(binary);
}

/** Throws where it is none. */
export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
}
