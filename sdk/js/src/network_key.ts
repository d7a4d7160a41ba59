/**
 * network_key.ts - tells one network from another, for what is remembered of how much silence each bears. No browser names the network; the address that the server sees, together with the kind of
 * network where that is known, is as good: home, work and a café differ in it, and an address in IPv6 does in its first half.
 */

/** Behind such an address the server sees the proxy, or a network that it shares with us: it says nothing. */
const notPublic = /^(0|10|127|169\.254|192\.168|172\.(1[6-9]|2\d|3[01])|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\.|^(::1?$|f[cd]|fe[89ab])/i;

function prefixOf(address: string): string {
  const bare = address.startsWith('[') ? address.slice(1, address.indexOf(']')) : address;
  if ((bare.match(/:/g) ?? []).length < 2) return bare.split(':')[0] ?? '';
  // The first four groups; those that "::" leaves out are zero.
  const [before = ''] = bare.split('::');
  const groups = before.split(':').filter((group) => group !== '');
  if (bare.includes('::')) while (groups.length < 4) groups.push('0');
  return groups.slice(0, 4).join(':');
}

/** FNV-1a, twice with different beginnings: no secret hangs on it. */
function hash(text: string, basis: number): string {
  let value = basis;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 16777619);
  return (value >>> 0).toString(16).padStart(8, '0');
}

/** 16 hexadecimal digits; empty: it cannot be told. */
export function networkKey(kind: string, address: string): string {
  if (address === '' || notPublic.test(address.replace('[', ''))) return '';
  const text = `${kind} ${prefixOf(address)}`;
  return hash(text, 2166136261) + hash(text, 374761393);
}
