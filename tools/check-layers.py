#!/usr/bin/python3
"""check-layers - a folder of src/ includes only what stands above it in the list of layers in DESIGN.md."""
import os
import re

import tap

LAYERS = ['base', 'ws', 'wire', 'session', 'channel', 'shm', 'engine', 'net', 'server', 'api', 'client', 'cli']

# The client library is linked into other people's programs: of the layers above it, it takes only the pure ones that
# both ends of a connection share.
ALLOWED = {layer: LAYERS[:i + 1] for i, layer in enumerate(LAYERS)}
ALLOWED['client'] = ['base', 'ws', 'wire', 'session', 'client', 'holdfast']
ALLOWED['cli'] = LAYERS + ['holdfast']

INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<(holdfast/[^>]+)>)', re.M)


def file_problems(root, path):
    layer = path.split('/')[1]
    if layer not in LAYERS:
        return [f'{path}: no such layer: {layer}']
    problems = []
    text = tap.read(root, path)
    included = [quoted or public for quoted, public in INCLUDE.findall(text)]
    for name in included:
        folder = os.path.dirname(name)
        if not folder:
            problems.append(f'{path}: "{name}" does not name its layer')
        elif folder not in ALLOWED[layer]:
            problems.append(f'{path}: {layer} may not use {folder} ("{name}")')
    # "A `.c` includes its own header first" (STYLE.md): so every header is compiled once with nothing before it.
    own = path[len('src/'):-1] + 'h'
    if path.endswith('.c') and os.path.exists(os.path.join(root, 'src', own)) and included[:1] != [own]:
        problems.append(f'{path}: its first include is not its own header "{own}"')
    return problems


def check(root):
    problems = []
    for path in tap.sources(root, ['src'], ('.c', '.h')):
        problems += file_problems(root, path)
    for path in tap.sources(root, ['include'], ('.h',)):
        problems += [f'{path}: a public header includes "{name}"' for name, _ in INCLUDE.findall(tap.read(root, path))
                     if name and not name.startswith('holdfast/')]
    return problems


tap.point('every include obeys the order of the layers', check(tap.ROOT))
tap.planted('a lower layer', check, {'src/ws/a.c': '#include "wire/b.h"\n'}, 'ws may not use wire')
tap.planted('a lower layer, spread out', check, {'src/base/a.h': ' # include  "net/b.h"\n'}, 'base may not use net')
tap.planted('the server in the client', check, {'src/client/a.c': '#include "server/b.h"\n'}, 'client may not use server')
tap.planted('channels in the client', check, {'src/client/a.c': '#include "channel/b.h"\n'}, 'client may not use channel')
tap.planted('the client in the server', check, {'src/server/a.c': '#include <holdfast/holdfast.h>\n'},
            'server may not use holdfast')
tap.planted('an include without a layer', check, {'src/net/a.c': '#include "b.h"\n'}, 'does not name its layer')
tap.planted('a folder that is no layer', check, {'src/utils/a.c': '\n'}, 'no such layer')
tap.planted('its own header second', check,
            {'src/ws/a.c': '#include "base/b.h"\n#include "ws/a.h"\n', 'src/ws/a.h': '\n'}, 'own header')
tap.planted('our own header in a public one', check, {'include/holdfast/a.h': '#include "base/b.h"\n'}, 'public header')
tap.done()
