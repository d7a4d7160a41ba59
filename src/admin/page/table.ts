/** table.ts - rows that follow a list: a row stays the same element as long as its item is there, so that focus and selection survive a refresh. */
import { make, setLink, setText } from './dom.js';

export interface Cell<T> {
  readonly node: HTMLElement;
  show(item: T): void;
}

export interface Column<T> {
  readonly head: string;
  /** number: to the right, figures of one width; wide: may be cut off. */
  readonly kind?: 'number' | 'wide' | 'actions';
  cell(): Cell<T>;
}

export function textCell<T>(text: (item: T) => string, className = ''): Cell<T> {
  const node = make('span', className);
  return { node, show: (item) => setText(node, text(item)) };
}

/** A link to a view; without an address it is text. */
export function linkCell<T>(href: (item: T) => string | null, text: (item: T) => string, className = ''): Cell<T> {
  const node = make('a', className);
  return {
    node,
    show: (item) => {
      const to = href(item);
      if (to === null) {
        node.removeAttribute('href');
        setText(node, text(item));
      } else {
        setLink(node, to, text(item));
      }
      node.title = text(item);
    },
  };
}

interface Row<T> {
  readonly element: HTMLTableRowElement;
  readonly cells: readonly Cell<T>[];
}

export class Table<T> {
  readonly element: HTMLElement;
  private readonly body = make('tbody');
  private readonly nothing: HTMLElement;
  private rows = new Map<string, Row<T>>();

  constructor(
    caption: string,
    private readonly columns: readonly Column<T>[],
    private readonly keyOf: (item: T) => string,
    nothing: string,
  ) {
    const heads = columns.map(({ head, kind = '' }) => {
      const cell = make('th', kind, head);
      cell.scope = 'col';
      return cell;
    });
    const table = make('table', '', make('caption', 'unseen', caption), make('thead', '', make('tr', '', ...heads)), this.body);
    this.nothing = make('p', 'nothing', nothing);
    this.element = make('div', 'table', table, this.nothing);
    this.element.classList.add('is-empty');
  }

  show(items: readonly T[]): void {
    const kept = new Map<string, Row<T>>();
    let place = this.body.firstElementChild;
    for (const item of items) {
      const key = this.keyOf(item);
      if (kept.has(key)) continue;
      const row = this.rows.get(key) ?? this.newRow();
      for (const cell of row.cells) cell.show(item);
      // What stands in its place stays there: an element that is moved loses the focus.
      if (row.element === place) place = place.nextElementSibling;
      else this.body.insertBefore(row.element, place);
      kept.set(key, row);
    }
    for (const [key, { element }] of this.rows) if (!kept.has(key)) element.remove();
    this.rows = kept;
    this.element.classList.toggle('is-empty', items.length === 0);
  }

  say(nothing: string): void {
    setText(this.nothing, nothing);
  }

  private newRow(): Row<T> {
    const cells = this.columns.map((column) => column.cell());
    const element = make('tr');
    for (const [i, { head, kind = '' }] of this.columns.entries()) {
      const cell = make('td', kind, cells[i]?.node ?? null);
      // Shown before the value where the table is a list: on a phone.
      cell.dataset['head'] = head;
      element.append(cell);
    }
    return { element, cells };
  }
}
