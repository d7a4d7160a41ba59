/** overview.ts - the server at a glance: whether all is well, what it does now, and the last ten minutes of it, in all or of one worker. */
import { Chart } from '../chart.js';
import { make } from '../dom.js';
import { Lifetimes } from '../lifetimes.js';
import { groups } from '../metrics.js';
import { card } from '../parts.js';
import type { Scope } from '../recorder.js';
import type { Stage, View } from '../stage.js';
import { Busiest } from './busiest.js';
import { HealthCard } from './health_card.js';
import { ScopeBar } from './scope_bar.js';
import { Tiles } from './tiles.js';
import { WorkersTable } from './workers_table.js';

export class Overview implements View {
  readonly element = make('div', 'view overview');
  readonly title = 'Overview';
  private readonly charts: Chart[] = [];
  private readonly lifetimes = new Lifetimes();
  private readonly health = new HealthCard();
  private readonly tiles: Tiles;
  private readonly scopes: ScopeBar;
  private readonly workers: WorkersTable;

  constructor(
    private readonly stage: Stage,
    private readonly scope: Scope,
  ) {
    this.tiles = new Tiles();
    this.scopes = new ScopeBar(scope, (route) => stage.navigation.go(route), () => this.show());
    this.workers = new WorkersTable();
    stage.monitor.lookAt(scope);
    const busiest = new Busiest(stage);
    this.element.append(make('h1', 'unseen', 'Overview'), this.health.element, this.tiles.element, this.scopes.element, ...this.sections(), busiest.element, card('workers', 'Workers', this.workers.element));
    stage.onAnswer(() => this.show());
    stage.onLeave(() => this.close());
    this.show();
  }

  repaint(): void {
    for (const part of [...this.charts, this.lifetimes, this.tiles]) part.repaint();
    this.show();
  }

  private sections(): HTMLElement[] {
    return groups.map(({ title, charts }) => {
      const made = charts.map((spec) => new Chart(spec));
      this.charts.push(...made);
      const row = make('div', 'charts', ...made.map(({ element }) => element), title === 'Resources' ? this.lifetimes.element : null);
      return make('section', 'group', make('h2', '', title), row);
    });
  }

  private show(): void {
    const { recorder } = this.stage.parts;
    const { newest, minuteAgo } = recorder;
    if (!newest || !minuteAgo) return;
    const frame = recorder.frame(this.scope, this.scopes.seconds);
    this.health.show(minuteAgo, newest);
    this.tiles.show(recorder, this.scope);
    this.scopes.show(newest, this.scope);
    for (const chart of this.charts) chart.show(frame);
    this.lifetimes.show(this.scope === null ? newest.total : newest.workers.find(({ slot }) => slot === this.scope));
    this.workers.show(newest, recorder);
  }

  private close(): void {
    for (const part of [...this.charts, this.lifetimes, this.tiles]) part.close();
    this.stage.monitor.lookAt(null);
  }
}
