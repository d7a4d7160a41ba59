/** router.ts - what the page shows, as the part of its address behind "#": every view can be linked to. Pure. */
export type Route =
  | { readonly page: 'overview'; readonly worker: number | null }
  | { readonly page: 'channels'; readonly search: string }
  | { readonly page: 'channel'; readonly channel: string }
  | { readonly page: 'sessions'; readonly search: string }
  | { readonly page: 'session'; readonly session: string }
  | { readonly page: 'unknown'; readonly hash: string };

/** Of "#/channels/NAME?search=TEXT"; without any, the overview. */
export function parseRoute(hash: string): Route {
  const unknown: Route = { page: 'unknown', hash };
  const [path = '', query = ''] = splitOnce(hash.replace(/^#?\/?/, ''), '?');
  const [page = '', name, more] = path.split('/');
  const search = new URLSearchParams(query);
  if (more !== undefined) return unknown;
  if ((page === '' || page === 'overview') && name === undefined) return { page: 'overview', worker: workerOf(search.get('worker')) };
  if (page !== 'channels' && page !== 'sessions') return unknown;
  if (name === undefined || name === '') return { page, search: search.get('search') ?? '' };
  const decoded = decode(name);
  if (decoded === null) return unknown;
  return page === 'channels' ? { page: 'channel', channel: decoded } : { page: 'session', session: decoded };
}

export function formatRoute(route: Route): string {
  switch (route.page) {
    case 'overview':
      return route.worker === null ? '#/overview' : `#/overview?worker=${route.worker}`;
    case 'channels':
    case 'sessions':
      return route.search === '' ? `#/${route.page}` : `#/${route.page}?${new URLSearchParams({ search: route.search }).toString()}`;
    case 'channel':
      return `#/channels/${encode(route.channel)}`;
    case 'session':
      return `#/sessions/${encode(route.session)}`;
    case 'unknown':
      return route.hash;
  }
}

function splitOnce(text: string, at: string): [string, string] {
  const place = text.indexOf(at);
  return place < 0 ? [text, ''] : [text.slice(0, place), text.slice(place + 1)];
}

function workerOf(text: string | null): number | null {
  return text !== null && /^\d{1,3}$/.test(text) ? Number(text) : null;
}

/** Null where it is no percent-encoded UTF-8. */
function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** Half of a surrogate pair cannot be in a name of the server's, which is UTF-8. */
function encode(text: string): string {
  return encodeURIComponent(text.replace(/[\ud800-\udfff]/gu, '\ufffd'));
}
