/** story.ts - the list of what happened, the newest first. */
import { byId, clock, make } from './dom.js';

const linesKept = 60;

export type Mood = 'good' | 'warn' | 'bad' | '';

export class Story {
  private readonly list = byId('events', HTMLOListElement);

  tell(mood: Mood, text: string, detail = ''): void {
    const line = make('li', mood);
    line.append(make('span', '', text), make('time', '', clock(Date.now())));
    if (detail) line.append(make('small', '', detail));
    this.list.prepend(line);
    while (this.list.children.length > linesKept) this.list.lastElementChild?.remove();
  }
}
