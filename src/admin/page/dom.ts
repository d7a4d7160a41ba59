/** dom.ts - elements. Names of channels and users are anybody's: all text goes in as text, never as markup. */
export type Child = Node | string | null;

export function byId<E extends HTMLElement>(id: string, kind: new () => E): E {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} with the id ${id}`);
  return element;
}

export function make<K extends keyof HTMLElementTagNameMap>(tag: K, className = '', ...children: readonly Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const child of children) if (child !== null) element.append(child);
  return element;
}

/** Only where it is new: what is selected stays selected, and nothing is laid out in vain. */
export function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export function setLink(link: HTMLAnchorElement, href: string, text: string): void {
  if (link.getAttribute('href') !== href) link.setAttribute('href', href);
  setText(link, text);
}

export function button(className: string, text: string, pressed: () => void): HTMLButtonElement {
  const made = make('button', className, text);
  made.type = 'button';
  made.addEventListener('click', pressed);
  return made;
}

let labels = 0;

/** A field with its label, which is seen unless it is to be `hidden`. */
export function labelled<E extends HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement>(text: string, field: E, hidden = false): HTMLElement {
  field.id ||= `field-${++labels}`;
  const label = make('label', hidden ? 'unseen' : '', text);
  label.htmlFor = field.id;
  return make('div', 'field', label, field);
}
