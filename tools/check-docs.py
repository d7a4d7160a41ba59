#!/usr/bin/python3
"""check-docs - the man page tells every configuration key, and no other."""
import re

import tap

PAGE = 'docs/man/holdfast.1'
KEYS = 'src/server/config_keys.c'


def check(root):
    known = set(re.findall(r'^\s*\{"([a-z.]+)", *HF_CONFIG_|^\s*\{"([a-z.]+)", *[A-Z]+\(', tap.read(root, KEYS), re.M))
    known = {first or second for first, second in known}
    section = re.search(r'^\.SH CONFIGURATION\n(.*?)^\.SH', tap.read(root, PAGE), re.M | re.S)
    # The tags of its list: .BR a ", " b " (default)"
    tags = re.findall(r'^\.TP\n\.BR? (.*)$', section[1] if section else '', re.M)
    told = {word for tag in tags for word in re.sub(r'"[^"]*"', ' ', tag).split()}
    problems = [] if known else [f'{KEYS}: no key found']
    problems += [f'{PAGE}: does not tell the key {key}' for key in sorted(known - told)]
    problems += [f'{PAGE}: tells a key that there is not: {key}' for key in sorted(told - known)]
    return problems


TABLE = '    {"workers", COUNT(workers, 1, 2)},\n    {"api.key", HF_CONFIG_SECRET},\n'
MAN = '.SH CONFIGURATION\n.TP\n.BR workers ", " api.key " (none)"\nA key.\n.SH SIGNALS\n'

tap.point('the man page tells every configuration key', check(tap.ROOT))
tap.innocent('a page that tells all', check, {KEYS: TABLE, PAGE: MAN})
tap.planted('a key that is not told', check, {KEYS: TABLE + '    {"echo", HF_CONFIG_BOOL},\n', PAGE: MAN}, 'key echo')
tap.planted('a key that is gone', check, {KEYS: TABLE, PAGE: MAN.replace('workers', 'workers ", " threads')},
            'there is not: threads')
tap.planted('a table that is not understood', check, {KEYS: 'int a;\n', PAGE: '.SH CONFIGURATION\n.SH SIGNALS\n'}, 'no key found')
tap.done()
