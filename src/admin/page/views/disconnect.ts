/** disconnect.ts - the buttons that end a session, its connection, or all that a user has. Each asks first. */
import { reasonOf } from '../api.js';
import { confirmed } from '../dialogs.js';
import type { Question } from '../dialogs.js';
import { button } from '../dom.js';
import { counted, visible } from '../format.js';
import type { Notice } from '../parts.js';
import type { Stage } from '../stage.js';

/** RFC 6455's registry: "service restart". It ends the connection only: the client comes back and resumes. */
const serviceRestart = 1012;

export interface Whom {
  readonly session: string;
  readonly connected: boolean;
  /** Empty: anonymous. */
  readonly user: string;
}

type Order = Parameters<Stage['parts']['api']['disconnect']>[0];

export function disconnectButtons(stage: Stage, { session, connected, user }: Whom, told: Notice): HTMLButtonElement[] {
  const act = (question: Question, order: Order, done: (count: number) => string): void => void carryOut(stage, question, order, done, told);
  const buttons = [
    button('danger', 'End session', () =>
      act(
        { title: 'End this session?', text: 'Its connection is closed with 4003, its subscriptions end, and the client does not come back by itself.', subject: visible(session), yes: 'End session' },
        { session },
        (count) => (count > 0 ? 'The session was ended.' : 'There was nothing to end.'),
      ),
    ),
  ];
  if (connected)
    buttons.unshift(
      button('plain', 'Break connection', () =>
        act(
          { title: 'Break its connection?', text: 'The connection is closed with 1012. The client comes back and resumes: it loses nothing.', subject: visible(session), yes: 'Break connection' },
          { session, code: serviceRestart },
          (count) => (count > 0 ? 'The connection was closed; its client should be back in a moment.' : 'It had no connection.'),
        ),
      ),
    );
  if (user !== '')
    buttons.push(
      button('danger', 'Disconnect user', () =>
        act(
          { title: 'End all sessions of this user?', text: 'All sessions that the user has at this moment are ended with 4003, on all workers. A new login is for the application to refuse.', subject: visible(user), yes: 'Disconnect user' },
          { user },
          (count) => `${counted(count, 'session')} of the user ${count === 1 ? 'was' : 'were'} ended.`,
        ),
      ),
    );
  return buttons;
}

async function carryOut(stage: Stage, question: Question, order: Order, done: (count: number) => string, told: Notice): Promise<void> {
  if (!(await confirmed(question))) return;
  try {
    const { disconnected } = await stage.parts.api.disconnect(order);
    told.say(done(disconnected), 'good');
  } catch (error) {
    stage.suspect(error);
    told.say(reasonOf(error), 'bad');
  }
}
