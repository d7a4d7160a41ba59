#!/usr/bin/python3
"""check-format - every C file is as clang-format leaves it (`make format`)."""
import os
import re
import subprocess

import tap

STYLE = '--style=file:' + os.path.join(tap.ROOT, '.clang-format')


def check(root):
    files = tap.sources(root, ['src', 'include', 'tests', 'bench', 'examples'], ('.c', '.h'))
    if not files:
        return ['there is no C file']
    run = subprocess.run(['clang-format', STYLE, '--dry-run', '-Werror', *files], cwd=root, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    # One line for each file says enough; `make format` mends it.
    misfits = sorted(set(re.findall(r'^([^:\n]+):\d+:\d+: error', run.stdout, re.M)))
    return [f'{path}: not formatted' for path in misfits] or ([run.stdout] if run.returncode else [])


tap.point('every C file is formatted', check(tap.ROOT))
tap.planted('two spaces', check, {'src/ws/a.c': 'int  a;\n'}, 'src/ws/a.c: not formatted')
tap.planted('a tab', check, {'tests/unit/a.c': 'int a(void)\n{\n\treturn 1;\n}\n'}, 'not formatted')
tap.planted('no file at all', check, {}, 'no C file')
tap.done()
