#!/usr/bin/python3
"""check-words - no function that C is better without, no note of unfinished work, nothing of the machine it was written on."""
import re

import tap

BANNED = {
    'strcpy': 'hf_buf, or memcpy with a checked length', 'strcat': 'hf_buf', 'strncpy': 'it may leave the end off',
    'strncat': 'hf_buf', 'stpcpy': 'hf_buf', 'sprintf': 'snprintf or hf_buf_putf', 'vsprintf': 'vsnprintf',
    'gets': 'getline', 'strtok': 'hf_str', 'strtok_r': 'hf_str', 'alloca': 'the stack has no error', 'atoi': 'it hides errors',
    'atol': 'it hides errors', 'atoll': 'it hides errors', 'atof': 'it hides errors', 'scanf': 'parse', 'sscanf': 'parse',
    'fscanf': 'parse', 'system': 'posix_spawn', 'popen': 'posix_spawn', 'tmpnam': 'mkstemp', 'mktemp': 'mkstemp',
    'rand': 'hf_rng, or RAND_bytes for secrets', 'srand': 'hf_rng', 'random': 'hf_rng', 'drand48': 'hf_rng',
    'gethostbyname': 'getaddrinfo', 'inet_ntoa': 'inet_ntop', 'asctime': 'strftime', 'ctime': 'strftime',
    'gmtime': 'gmtime_r', 'localtime': 'localtime_r', 'select': 'poll: FD_SETSIZE ends at 1,024',
    'setjmp': 'return an error', 'longjmp': 'return an error',
}

COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
CALL = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED) + r')\s*\(')
NOTE = re.compile(r'\b(TODO|FIXME|XXX|HACK)\b')
# Written so that this line does not find itself.
PLACE = re.compile(r'(?<![\w.$}"\'])/(?:wo[r]k|ro[o]t|ho[m]e)/\w')

C_FOLDERS = ['src', 'include', 'tests', 'bench', 'examples']
TEXT_FOLDERS = C_FOLDERS + ['tools', 'docs', 'packaging', '.ci', 'sdk']
TEXT_ENDINGS = ('.c', '.h', '.py', '.sh', '.md', '.ts', '.js', '.1', '.service', '.build', 'run')


def blank(match):
    """Comments and texts may name anything: keep only their line ends, so that line numbers stay."""
    return '\n' * match[0].count('\n') or ' '


def at(text, index):
    return text.count('\n', 0, index) + 1


def check(root):
    problems = []
    for path in tap.sources(root, C_FOLDERS, ('.c', '.h')):
        code = COMMENT_OR_TEXT.sub(blank, tap.read(root, path))
        problems += [f'{path}:{at(code, m.start())}: {m[1]}() is banned: {BANNED[m[1]]}' for m in CALL.finditer(code)]
    for path in tap.sources(root, TEXT_FOLDERS, TEXT_ENDINGS):
        if path.endswith('check-words.py'):
            continue
        text = tap.read(root, path)
        problems += [f'{path}:{at(text, m.start())}: {m[0]} left in' for m in NOTE.finditer(text)]
        problems += [f'{path}:{at(text, m.start())}: a path of one machine: {m[0]}' for m in PLACE.finditer(text)]
    return problems


tap.point('no banned function, no unfinished work, no path of one machine', check(tap.ROOT))
tap.planted('strcpy', check, {'src/ws/a.c': 'void f(void)\n{\n    strcpy (a, b);\n}\n'}, 'src/ws/a.c:3: strcpy()')
tap.planted('atoi in a test', check, {'tests/unit/a.c': 'int a = atoi(x);\n'}, 'atoi() is banned')
tap.planted('a macro that calls sprintf', check, {'src/base/a.h': '#define A(x) sprintf(x, "%d", 1)\n'}, 'sprintf()')
tap.planted('a note', check, {'src/ws/a.c': '/* TO' 'DO: the rest. */\n'}, 'left in')
tap.planted('a note in Python', check, {'tests/integration/a.py': '# FIX' 'ME\n'}, 'left in')
tap.planted('a path', check, {'docs/a.md': 'see /wo' 'rk/shared\n'}, 'a path of one machine')
tap.innocent('names that only look banned', check, {
    'src/ws/a.c': '/* strcpy() would do. */\nint a = hf_atoi(x) + s->rand() + my_gets("gets(");\n',
    'docs/a.md': 'a socket under ${prefix}/root/x, or https://example.org/home/x\n'})
tap.done()
