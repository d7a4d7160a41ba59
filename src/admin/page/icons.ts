/** icons.ts - drawings of lines, by name. */
const paths = {
  search: 'M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5 20 20',
  good: 'M4.5 12.5 10 18 19.5 7',
  warn: 'M12 4 2.5 20h19zM12 10v4.5M12 17.2v.1',
  bad: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7.5v5.5M12 16.3v.1',
  advice: 'M9.5 18h5M10.5 21h3M12 3a6 6 0 0 0-3.6 10.8c.7.6 1.1 1.3 1.1 2.2h5c0-.9.4-1.6 1.1-2.2A6 6 0 0 0 12 3z',
  send: 'M4 12 20 4l-5 16-3.5-6.5z',
  cut: 'M9 7 6.5 9.5a4 4 0 0 0 5.6 5.6L13 14M15 17l2.5-2.5a4 4 0 0 0-5.6-5.6L11 10M4 4l16 16',
  back: 'M14.5 6 8.5 12l6 6',
} as const;

export type IconName = keyof typeof paths;

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', paths[name]);
  svg.append(path);
  return svg;
}
