"""
plot.py - bar and line charts as SVG, without any library: what docs/performance.md shows.
"""
from xml.sax.saxutils import escape

FONT = 'font-family="sans-serif" font-size="13" fill="#222"'
OURS, OTHERS, LIMIT = '#0a6ebd', '#9aa5b1', '#4d4d4d'
LINES = ('#0a6ebd', '#c0392b', '#27864b', '#8e44ad', '#b9770e')
WIDTH, LEFT, RIGHT, TOP, ROW = 760, 170, 130, 44, 26


def number(value):
    """As few digits as tell it."""
    if value >= 100:
        return f'{value:,.0f}'
    return f'{value:.3g}'


def text(x, y, content, anchor='start', more=''):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} {more}>{escape(content)}</text>'


def frame(height, body):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">'
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>' + ''.join(body) + '</svg>\n')


def color(name):
    return OURS if name == 'Holdfast' else LIMIT if name == 'raw loop' else OTHERS


def bars(title, unit, rows, ours=None):
    """
    rows: (name, median, lowest, highest). The shortest bar is on top; a line over each bar shows the spread. ours: which names are
    in our colour; without it Holdfast is.
    """
    rows = sorted(rows, key=lambda row: row[1])
    largest = max([row[3] for row in rows] + [1e-9])
    left = max([LEFT] + [16 + 7 * len(row[0]) for row in rows])
    scale = (WIDTH - left - RIGHT) / largest
    body = [text(16, 24, title, more='font-weight="bold"')]
    for i, (name, median, low, high) in enumerate(rows):
        y = TOP + i * ROW
        middle = y + 9
        fill = color(name) if ours is None else OURS if ours(name) else OTHERS
        body.append(text(left - 8, y + 14, name, 'end'))
        body.append(f'<rect x="{left}" y="{y}" width="{max(median * scale, 1):.1f}" height="18" fill="{fill}"/>')
        body.append(f'<path d="M{left + low * scale:.1f} {middle}H{left + high * scale:.1f}" stroke="#000" stroke-width="1.5"/>')
        body.append(text(left + high * scale + 8, y + 14, f'{number(median)} {unit}'))
    return frame(TOP + len(rows) * ROW + 12, body)


def lines(title, x_name, y_name, series):
    """series: (name, [(x, y) …])."""
    height, left, top, bottom = 330, 76, 62, 46
    points = [p for _, line in series for p in line]
    x_max = max([x for x, _ in points] + [1e-9])
    y_max = max([y for _, y in points] + [1e-9])

    def place(x, y):
        return left + x / x_max * (WIDTH - left - 20), height - bottom - y / y_max * (height - bottom - top)
    body = [text(16, 24, title, more='font-weight="bold"')]
    for i in range(5):
        x, y = place(x_max * i / 4, y_max * i / 4)
        body.append(f'<path d="M{left} {y:.1f}H{WIDTH - 20}" stroke="#ddd"/>')
        body.append(text(left - 6, y + 4, number(y_max * i / 4), 'end'))
        body.append(text(x, height - bottom + 18, number(x_max * i / 4), 'middle'))
    body.append(text(WIDTH / 2, height - 8, x_name, 'middle'))
    body.append(text(16, 44, y_name))
    for i, (name, line) in enumerate(series):
        at = ' '.join('{:.1f},{:.1f}'.format(*place(x, y)) for x, y in line)
        body.append(f'<polyline points="{at}" fill="none" stroke="{LINES[i % len(LINES)]}" stroke-width="2"/>')
        body.append(text(left + 12, top + 16 + i * 18, name, more=f'style="fill:{LINES[i % len(LINES)]}"'))
    return frame(height, body)
