/**
 * link.ts - one connection as its session sees it: src/session/link.h, less what a WebSocket implementation does by itself.
 *
 *   idle    -> dialing  dial()       the owner wants a connection; the driver makes it
 *   dialing -> ready    connected()  it stands, and nothing has been said on it (where a driver can tell that)
 *   ready   -> opening  request()    the upgrade request is out
 *   opening -> open     open()       it was accepted
 *   open    -> closing  close()      a close frame is to be sent
 *   any     -> idle     drop()       the connection is gone, or its owner has lost interest
 *
 * Most WebSocket implementations dial and ask at once: there a link goes from `dialing` to `open`, and `requested` says that the request may be out.
 */
import * as has from '../features.js';
import type { Codec, Frame } from './codec.js';
import type { ClientMessage } from './message.js';
import { utf8Length } from './message.js';
import { assert } from './state.js';

export type LinkState = 'idle' | 'dialing' | 'ready' | 'opening' | 'open' | 'closing';

const mayFollow: Readonly<Record<LinkState, readonly LinkState[]>> = {
  idle: ['dialing'],
  dialing: ['ready', 'open', 'closing', 'idle'],
  ready: ['opening', 'idle'],
  opening: ['open', 'closing', 'idle'],
  open: ['closing', 'idle'],
  closing: ['idle'],
};

/** What is to be sent as one WebSocket message. */
export interface Output {
  readonly data: Frame;
  readonly bytes: number;
}

/** Below the smallest bound of a message that a server has: twice its maxMessage. */
const messageBytesMax = 32 * 1024;

function joined(records: readonly Output[]): Output[] {
  const messages: Output[] = [];
  let run: Uint8Array[] = [];
  let bytes = 0;
  const end = (): void => {
    if (run.length === 0) return;
    const data = new Uint8Array(bytes);
    let at = 0;
    for (const record of run) {
      data.set(record, at);
      at += record.length;
    }
    messages.push({ data, bytes });
    run = [];
    bytes = 0;
  };
  for (const record of records) {
    if (bytes + record.bytes > messageBytesMax) end();
    run.push(record.data as Uint8Array);
    bytes += record.bytes;
  }
  end();
  return messages;
}

export class Link {
  state: LinkState = 'idle';
  /** The number of the connection that it carries; rising over all links of a session. */
  attempt = 0;
  /** The request may have reached the server. */
  requested = false;
  /** `closing`: to tell the server; 0: nothing. */
  closeCode = 0;
  codec: Codec | null = null;
  /** Until when a `closing` link is kept for its driver to write the rest. */
  lingerUntil = Infinity;
  /** What the driver has not taken yet, and its bytes, with those that it has taken and its socket has not. */
  outBytes = 0;
  private out: Output[] = [];

  dial(attempt: number): void {
    this.move('dialing');
    this.attempt = attempt;
  }

  /** @only prepares */
  connected(): void {
    this.move('ready');
  }

  request(): void {
    this.requested = true;
    if (has.prepares && this.state === 'ready') this.move('opening');
  }

  open(codec: Codec): void {
    this.codec = codec;
    this.move('open');
  }

  put(message: ClientMessage): void {
    if (this.state !== 'open' || this.codec === null) return;
    const frame = this.codec.encode(message);
    const bytes = typeof frame === 'string' ? utf8Length(frame) : frame.length;
    this.out.push({ data: frame, bytes });
    this.outBytes += bytes;
  }

  /** Take what is to be sent; "a WebSocket message is a run of one or more records" in binary. sent() tells when the socket has taken it. */
  takeOutput(): Output[] {
    const { out } = this;
    this.out = [];
    return has.takesParts && typeof out[0]?.data === 'object' && out.length > 1 ? joined(out) : out;
  }

  sent(bytes: number): void {
    this.outBytes = Math.max(0, this.outBytes - bytes);
  }

  /** Tell the server with this code; nothing goes out after it. Does nothing where the link is not open. */
  close(code: number): void {
    if (this.state !== 'open') return;
    this.closeCode = code;
    this.move('closing');
  }

  /** There is no more to be said on it, but for this code. */
  end(code = 0): void {
    this.closeCode = code;
    if (this.state !== 'closing') this.move('closing');
  }

  drop(): void {
    if (this.state !== 'idle') this.move('idle');
    this.attempt = 0;
    this.requested = false;
    this.closeCode = 0;
    this.codec = null;
    this.out = [];
    this.outBytes = 0;
    this.lingerUntil = Infinity;
  }

  private move(to: LinkState): void {
    assert(mayFollow[this.state].includes(to), `a link cannot go from ${this.state} to ${to}`);
    this.state = to;
  }
}
