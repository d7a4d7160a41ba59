/** rights.ts - whether the page offers to change something: not with a key that only reads, nor where the address or the switch says so. The server decides by itself. */
import type { Access } from './types.js';

const place = 'holdfast-admin-readonly';

/**
 * full      publish box and disconnect buttons are shown
 * key       the key may only read
 * address   the page was opened with ?readonly
 * switch    whoever looks at it wants it so
 */
export type Mode = 'full' | 'key' | 'address' | 'switch';

export class Rights {
  private access: Access | null = null;
  private readonly byAddress: boolean;
  private switched: boolean;
  private readonly listeners: (() => void)[] = [];

  constructor(search: string) {
    this.byAddress = new URLSearchParams(search).has('readonly');
    this.switched = stored();
  }

  get mode(): Mode {
    if (this.access?.right === 'read') return 'key';
    if (this.byAddress) return 'address';
    return this.switched ? 'switch' : 'full';
  }

  /** Nothing is offered before it is known. */
  get mayChange(): boolean {
    return this.access !== null && this.mode === 'full';
  }

  /** The name of the key that is used, where it has one. */
  get keyName(): string | null {
    return this.access?.key ?? null;
  }

  learn(access: Access | null): void {
    this.change(() => {
      this.access = access;
    });
  }

  toggle(): void {
    this.change(() => {
      this.switched = !this.switched;
      try {
        sessionStorage.setItem(place, String(this.switched));
      } catch {
        // Until the page is loaded anew.
      }
    });
  }

  onChange(call: () => void): void {
    this.listeners.push(call);
  }

  private change(act: () => void): void {
    const before = `${this.mode} ${this.mayChange} ${this.keyName ?? ''}`;
    act();
    if (before !== `${this.mode} ${this.mayChange} ${this.keyName ?? ''}`) for (const call of this.listeners) call();
  }
}

function stored(): boolean {
  try {
    return sessionStorage.getItem(place) === 'true';
  } catch {
    return false;
  }
}
