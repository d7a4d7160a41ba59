/** key.ts - the API key, kept for this tab alone: sessionStorage ends with it. */
const place = 'holdfast-admin-key';

export class KeyStore {
  private key: string | null;

  constructor() {
    this.key = stored();
  }

  get value(): string | null {
    return this.key;
  }

  set(key: string | null): void {
    this.key = key;
    try {
      if (key === null) sessionStorage.removeItem(place);
      else sessionStorage.setItem(place, key);
    } catch {
      // A browser that keeps nothing: it is asked for again when the page is loaded anew.
    }
  }
}

/** What a header cannot carry is no key (RFC 6750 section 2.1). Returns what is wrong with it, or null. */
export function faultOfKey(key: string): string | null {
  if (key === '') return 'Type the key, or paste it.';
  return /^[\x21-\x7e]+$/.test(key) ? null : 'A key has neither spaces nor letters outside of ASCII: was something else pasted?';
}

function stored(): string | null {
  try {
    return sessionStorage.getItem(place);
  } catch {
    return null;
  }
}
