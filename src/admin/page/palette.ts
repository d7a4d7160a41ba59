/** palette.ts - the colours of the style sheet, for what is drawn on a canvas. */
const lines = 8;

function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Of the nth line of a chart; they begin anew behind the eighth. */
export function lineColour(n: number): string {
  return token(`--line-${(n % lines) + 1}`);
}

/** The class of the same colour, for a legend. */
export function lineClass(n: number): string {
  return `line-${(n % lines) + 1}`;
}

/** A #rrggbb token made fainter. */
export function faint(colour: string, alpha: string): string {
  return `${colour}${alpha}`;
}

export interface ChartColours {
  readonly grid: string;
  readonly text: string;
  readonly mark: string;
  readonly ground: string;
}

export function chartColours(): ChartColours {
  return { grid: token('--grid'), text: token('--faint'), mark: token('--bad'), ground: token('--card') };
}
