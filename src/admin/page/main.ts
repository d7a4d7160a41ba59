/** main.ts - the admin page: what the server does, its channels and sessions, and why one was disconnected. It asks the HTTP API that it was loaded from, and nobody else. */
import { Api } from './api.js';
import { Banner, lineOf } from './banner.js';
import { byId, setText } from './dom.js';
import { KeyDialog } from './dialogs.js';
import { KeyStore } from './key.js';
import { Link } from './link.js';
import { Monitor } from './monitor.js';
import type { Parts } from './monitor.js';
import { Recorder } from './recorder.js';
import { Rights } from './rights.js';
import { formatRoute, parseRoute } from './router.js';
import type { Route } from './router.js';
import { Stage } from './stage.js';
import type { View } from './stage.js';
import { followTheme } from './theme.js';
import { ChannelView } from './views/channel.js';
import { Channels } from './views/channels.js';
import { NotFound } from './views/not_found.js';
import { Overview } from './views/overview.js';
import { SessionView } from './views/session.js';
import { Sessions } from './views/sessions.js';

function makeView(route: Route, stage: Stage): View {
  switch (route.page) {
    case 'overview':
      return new Overview(stage, route.worker);
    case 'channels':
      return new Channels(stage, route.search);
    case 'channel':
      return new ChannelView(stage, route.channel);
    case 'sessions':
      return new Sessions(stage, route.search);
    case 'session':
      return new SessionView(stage, route.session);
    case 'unknown':
      return new NotFound(route.hash);
  }
}

/** Shows the view that the address names, and follows the address. */
class Pages {
  private readonly place = byId('main', HTMLElement);
  private stage: Stage | null = null;
  private view: View | null = null;

  constructor(
    private readonly parts: Parts,
    private readonly monitor: Monitor,
  ) {
    window.addEventListener('hashchange', () => this.show(true));
    this.show(false);
  }

  /** The same view anew: other rights. */
  again(): void {
    this.show(false);
  }

  repaint(): void {
    this.view?.repaint?.();
  }

  private show(focus: boolean): void {
    const route = parseRoute(location.hash);
    this.stage?.leave();
    this.stage = new Stage(this.parts, this.monitor, {
      go: (to) => {
        location.hash = formatRoute(to);
      },
      replace: (to) => history.replaceState(null, '', formatRoute(to)),
    });
    this.view = makeView(route, this.stage);
    this.place.replaceChildren(this.view.element);
    document.title = `${this.view.title} – Holdfast`;
    markLink(route);
    // As with a page that was loaded: what is read out and where Tab goes on begin at its top.
    if (!focus) return;
    this.place.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

function markLink(route: Route): void {
  const page = route.page === 'channel' ? 'channels' : route.page === 'session' ? 'sessions' : route.page;
  for (const link of document.querySelectorAll<HTMLAnchorElement>('nav a')) {
    if (link.hash === `#/${page}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}

const modeTexts = {
  full: 'Full access: press for read-only',
  switch: 'Read-only: press for full access',
  key: 'Read-only: the key may only read',
  address: 'Read-only: the address of this page says so',
} as const;

function followRights(rights: Rights, pages: Pages): void {
  const toggle = byId('readonly', HTMLButtonElement);
  const show = (): void => {
    toggle.setAttribute('aria-pressed', String(rights.mode !== 'full'));
    toggle.disabled = rights.mode === 'key' || rights.mode === 'address';
    toggle.title = modeTexts[rights.mode];
    setText(byId('key-name', HTMLElement), rights.keyName === null ? '' : `key ${rights.keyName}`);
  };
  toggle.addEventListener('click', () => rights.toggle());
  rights.onChange(() => {
    show();
    pages.again();
  });
  show();
}

function followKey(link: Link, keys: KeyStore, monitor: Monitor, dialog: KeyDialog): void {
  link.onChange((state) => {
    if (state.is === 'unauthorized') dialog.ask(lineOf(state), state.wrong ? 'bad' : '', keys.value !== null);
    else dialog.hear(lineOf(state));
  });
  monitor.onAnswer(() => dialog.answered());
}

/** A link would change the address, which names the view. */
function followSkip(): void {
  byId('skip', HTMLAnchorElement).addEventListener('click', (event) => {
    event.preventDefault();
    byId('main', HTMLElement).focus();
  });
}

/** "/" leads to the search, as in many pages; nowhere where it is a letter that is typed. */
function followKeyboard(): void {
  document.addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement || event.target instanceof HTMLSelectElement) return;
    const field = document.querySelector<HTMLInputElement>('.search input');
    if (!field || document.querySelector('dialog[open]')) return;
    event.preventDefault();
    field.select();
    field.focus();
  });
}

function start(): void {
  const keys = new KeyStore();
  const link = new Link();
  const parts: Parts = { api: new Api(() => keys.value), keys, link, rights: new Rights(location.search), recorder: new Recorder() };
  const monitor = new Monitor(parts);
  const dialog = new KeyDialog((key) => monitor.useKey(key));
  const askForKey = (): void => dialog.ask('', '', keys.value !== null);
  new Banner(link, askForKey);
  byId('key', HTMLButtonElement).addEventListener('click', askForKey);
  const pages = new Pages(parts, monitor);
  followRights(parts.rights, pages);
  followKey(link, keys, monitor, dialog);
  followSkip();
  followKeyboard();
  followTheme(byId('theme', HTMLButtonElement), () => pages.repaint());
}

start();
