/**
 * network_key.ts - tells one network from another, for what is remembered of how much silence each bears. No browser names the network; the address that the server sees, together with the kind of
 * network where that is known, is as good: home, work and a café differ in it, and an address in IPv6 does in its first half.
 */
/** 16 hexadecimal digits; empty: it cannot be told. */
export declare function networkKey(kind: string, address: string): string;
