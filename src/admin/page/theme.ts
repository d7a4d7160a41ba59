/** theme.ts - light or dark: the system's choice, or the one that was made with the button, which is remembered. */
const place = 'holdfast-admin-theme';
const preference = matchMedia('(prefers-color-scheme: dark)');

export type Theme = 'light' | 'dark';

export function currentTheme(): Theme {
  const chosen = document.documentElement.dataset['theme'];
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return preference.matches ? 'dark' : 'light';
}

/** changed: called behind each change, also of the system's. */
export function followTheme(toggle: HTMLButtonElement, changed: () => void): void {
  const root = document.documentElement;
  const kept = read();
  if (kept === 'light' || kept === 'dark') root.dataset['theme'] = kept;
  preference.addEventListener('change', changed);
  toggle.addEventListener('click', () => {
    root.dataset['theme'] = currentTheme() === 'dark' ? 'light' : 'dark';
    write(root.dataset['theme']);
    changed();
  });
}

function read(): string | null {
  try {
    return localStorage.getItem(place);
  } catch {
    return null;
  }
}

function write(theme: string): void {
  try {
    localStorage.setItem(place, theme);
  } catch {
    // It is the system's again when the page is loaded anew.
  }
}
