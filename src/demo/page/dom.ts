/** dom.ts - the page's elements by their ids, and texts that change only where they are new. */
export function byId<E extends HTMLElement>(id: string, kind: new () => E): E {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} with the id ${id}`);
  return element;
}

export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function make<K extends keyof HTMLElementTagNameMap>(tag: K, className: string, text = ''): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** "84 ms" below ten seconds would be read slowly: 1,234 ms is 1.2 s. */
export function duration(ms: number): readonly [amount: string, unit: string] {
  return ms < 1000 ? [String(Math.round(ms)), 'ms'] : [(ms / 1000).toFixed(ms < 10_000 ? 1 : 0), 's'];
}

export function clock(at: number): string {
  return new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
}
