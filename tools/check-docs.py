#!/usr/bin/python3
"""check-docs - the man page tells every configuration key and every option of the commands, and no other."""
import re

import tap

PAGE = 'docs/man/holdfast.1'
KEYS = 'src/server/config_keys.c'


def key_problems(root, page):
    known = set(re.findall(r'^\s*\{"([a-z0-9_.]+)", *[A-Z]', tap.read(root, KEYS), re.M))
    section = re.search(r'^\.SH CONFIGURATION\n(.*?)^\.SH', page, re.M | re.S)
    # The tags of its list: .BR a ", " b " (default)"
    tags = re.findall(r'^\.TP\n\.BR? (.*)$', section[1] if section else '', re.M)
    told = {word for tag in tags for word in re.sub(r'"[^"]*"', ' ', tag).split()}
    problems = [] if known else [f'{KEYS}: no key found']
    problems += [f'{PAGE}: does not tell the key {key}' for key in sorted(known - told)]
    problems += [f'{PAGE}: tells a key that there is not: {key}' for key in sorted(told - known)]
    return problems


def option_problems(root, page):
    known = {'version'}
    for path in tap.sources(root, ['src/cli'], ('.c', '.h')):
        known |= set(re.findall(r'\{[\s\\]*"([a-z-]+)", *(?:no|required|optional)_argument', tap.read(root, path)))
    told = set(re.findall(r'--([a-z-]+)', page.replace('\\-', '-')))
    problems = [f'{PAGE}: does not tell the option --{option}' for option in sorted(known - told - {'version'})]
    problems += [f'{PAGE}: tells an option that there is not: --{option}' for option in sorted(told - known)]
    return problems


def check(root):
    page = tap.read(root, PAGE)
    return key_problems(root, page) + option_problems(root, page)


CLI = 'src/cli/a.c'
TABLE = '    {"workers", COUNT(workers, 1, 2)},\n    {"api.key", HF_CONFIG_SECRET},\n'
OPTIONS = '    {"json", no_argument, NULL, 1},\n    {"url", required_argument, NULL, 2},\n'
MAN = ('.B \\-\\-json\n.BI \\-\\-url " URL"\n'
       '.SH CONFIGURATION\n.TP\n.BR workers ", " api.key " (none)"\nA key.\n.SH SIGNALS\n')

tap.point('the man page tells every configuration key and option', check(tap.ROOT))
tap.innocent('a page that tells all', check, {KEYS: TABLE, CLI: OPTIONS, PAGE: MAN})
tap.planted('a key that is not told', check, {KEYS: TABLE + '    {"echo", HF_CONFIG_BOOL},\n', CLI: OPTIONS, PAGE: MAN}, 'key echo')
tap.planted('a key with an underscore', check, {KEYS: TABLE + '    {"tls.min_version", HF_CONFIG_CHOICE},\n', CLI: OPTIONS, PAGE: MAN}, 'key tls.min_version')
tap.planted('a key that is gone', check, {KEYS: TABLE, CLI: OPTIONS, PAGE: MAN.replace('workers', 'workers ", " threads')},
            'there is not: threads')
tap.planted('a table that is not understood', check,
            {KEYS: 'int a;\n', CLI: OPTIONS, PAGE: MAN.replace('.TP\n.BR workers ", " api.key', '.B')}, 'no key found')
tap.planted('an option in the last row of a macro', check,
            {KEYS: TABLE, CLI: OPTIONS + '    {        \\\n        "late", no_argument, NULL, 3    \\\n    }\n', PAGE: MAN}, 'option --late')
tap.planted('an option that is not told', check,
            {KEYS: TABLE, CLI: OPTIONS + '    {"id", required_argument, 0, 3},\n', PAGE: MAN}, 'option --id')
tap.planted('an option that is gone', check, {KEYS: TABLE, CLI: OPTIONS, PAGE: '\\-\\-quiet\n' + MAN}, 'there is not: --quiet')
tap.done()
