/** banner.ts - how the server is, in the header in a word, and in a line below it where something is wrong. */
import { button, byId, make, setText } from './dom.js';
import { span } from './format.js';
import type { Link, LinkState } from './link.js';

const words: Readonly<Record<LinkState['is'], string>> = {
  connecting: 'connecting',
  live: 'live',
  draining: 'draining',
  unreachable: 'not reachable',
  unauthorized: 'key needed',
  forbidden: 'forbidden',
  busy: 'busy',
  strange: 'fault',
};

export class Banner {
  private readonly pill = byId('state', HTMLElement);
  private readonly text = byId('state-text', HTMLElement);
  private readonly bar = byId('banner', HTMLElement);
  private readonly line = make('p');
  private readonly enter: HTMLButtonElement;

  constructor(
    private readonly link: Link,
    askForKey: () => void,
  ) {
    this.enter = button('plain', 'Enter a key', askForKey);
    this.bar.append(this.line, this.enter);
    link.onChange(() => this.show());
    // How long it has been away goes on while nothing else changes.
    setInterval(() => {
      if (link.state.is === 'unreachable' && document.visibilityState === 'visible') this.show();
    }, 1000);
    this.show();
  }

  private show(): void {
    const { state } = this.link;
    this.pill.dataset['state'] = state.is;
    setText(this.text, words[state.is]);
    const line = lineOf(state);
    setText(this.line, line);
    this.bar.hidden = line === '';
    this.bar.dataset['mood'] = state.is === 'draining' || state.is === 'busy' ? 'warn' : 'bad';
    this.enter.hidden = state.is !== 'unauthorized' && state.is !== 'forbidden';
  }
}

/** As a sentence; empty where all is well. */
export function lineOf(state: LinkState): string {
  switch (state.is) {
    case 'connecting':
    case 'live':
      return '';
    case 'draining':
      return 'The server drains: it takes no new clients, and tells those that it has to leave.';
    case 'unreachable': {
      const away = Date.now() - state.since;
      return `The server cannot be reached${away >= 1000 ? `, for ${span(away)}` : ''}: it is down, restarting, or the network is. The page tries again by itself.`;
    }
    case 'unauthorized':
      return state.wrong ? `The server does not take this key: ${state.reason}.` : 'The server asks for an API key.';
    case 'forbidden':
      return `The server does not let this page in: ${state.reason}.`;
    case 'busy':
      return `The server asks to come back later: ${state.reason}. The page tries again by itself.`;
    case 'strange':
      return `What answers here is not as it should be: ${state.reason}.`;
  }
}
