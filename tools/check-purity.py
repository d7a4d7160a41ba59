#!/usr/bin/python3
"""
check-purity LIBRARY... - the libraries of the pure layers meet the world through nothing but their arguments.
No socket, clock, random source, process, file or thread, and no state of their own: the simulation stands on that. So each
symbol that they lack must be one of the others' or on the list below, and none may lie in writable memory.
"""
import os
import re
import subprocess
import sys

import tap

ALLOWED = set('''
    memcpy memmove memset memcmp bcmp memchr memrchr memmem
    strlen strnlen strcmp strncmp strcasecmp strncasecmp strchr strrchr strstr strspn strcspn strdup strndup
    strtol strtoul strtoll strtoull strtod
    malloc calloc realloc free abort snprintf vsnprintf qsort bsearch
    ceil floor fmod exp log log2 pow sqrt fabs ldexp frexp lround llround round
    SHA1 EVP_EncodeBlock EVP_DecodeBlock CRYPTO_memcmp
    deflate deflateInit2_ deflateReset deflateEnd deflateParams deflateBound
    inflate inflateInit2_ inflateReset inflateEnd
    _GLOBAL_OFFSET_TABLE_ __stack_chk_fail
'''.split())

# A failed assertion prints and ends the process: no state of ours outlives it.
ALLOWED_IN = {'assert.c.o': {'fprintf', 'stderr'}}

# .data.rel.ro holds constants with addresses in them; the loader makes it read-only.
WRITABLE = re.compile(r'\.(data(?!\.rel\.ro)|bss|tdata|tbss)\b|\*COM\*')


def symbols(library):
    """Yield (object file, symbol, section) of all that a library has or lacks."""
    listing = subprocess.run(['nm', '--format=sysv', library], check=True, stdout=subprocess.PIPE, text=True).stdout
    member = ''
    for line in listing.splitlines():
        head = re.search(r'Symbols from .*\[(.*)\]:', line) or re.match(r'Symbols from (.*):', line)
        fields = [field.strip() for field in line.split('|')]
        if head:
            member = os.path.basename(head[1])
        elif len(fields) == 7:
            yield member, fields[0], fields[6]


def plain(symbol):
    """The compiler and the C library may call a function by another name: __memcpy_chk, __isoc99_strtol."""
    return re.sub(r'^__isoc\d+_', '', re.sub(r'^__(\w+)_chk$', r'\1', symbol))


def check(libraries):
    found = [symbol for library in libraries for symbol in symbols(library)]
    defined = {name for _, name, section in found if section != '*UND*'}
    problems = []
    for member, name, section in found:
        allowed = name in defined or plain(name) in ALLOWED | ALLOWED_IN.get(member, set())
        if section == '*UND*' and not allowed:
            problems.append(f'{member}: uses {name}')
        elif WRITABLE.match(section) and not name.startswith('.'):
            problems.append(f'{member}: {name} is a variable of the process ({section})')
    return problems


def check_folder(root):
    """For planted faults: compile the only file of a folder."""
    source = os.path.join(root, tap.sources(root, ['.'], ('.c',))[0])
    subprocess.run(['gcc', '-fPIC', '-O1', '-w', '-c', source, '-o', source + '.o'], check=True)
    return check([source + '.o'])


names = ', '.join(os.path.basename(library) for library in sys.argv[1:])
tap.point(f'no way to the outside in {names}', check(sys.argv[1:]) if sys.argv[1:] else ['no library was given'])
for name, text, expect in [
        ('a clock', '#include <time.h>\nlong f(void) { return time(0); }', 'uses time'),
        ('a socket', '#include <sys/socket.h>\nint f(void) { return socket(1, 1, 0); }', 'uses socket'),
        ('a random source', '#include <stdlib.h>\nint f(void) { return random(); }', 'uses random'),
        ('a file', '#include <stdio.h>\nvoid *f(void) { return fopen("x", "r"); }', 'uses fopen'),
        ('printing', '#include <stdio.h>\nvoid f(void) { puts("x"); }', 'uses puts'),
        ('another layer', 'void hf_loop_run(void);\nvoid f(void) { hf_loop_run(); }', 'uses hf_loop_run'),
        ('a counter', 'int f(void) { static int count; return ++count; }', 'variable of the process'),
        ('a variable that is set', 'int verbose = 1;', 'variable of the process'),
        ('a variable of the thread', '__thread int depth;', 'variable of the process')]:
    tap.planted(name, check_folder, {'a.c': text + '\n'}, expect)
tap.innocent('constants, also with addresses in them', check_folder,
             {'a.c': 'static const char *const names[] = {"a", "b"};\n'
                     '#include <string.h>\nint f(int i) { return strcmp(names[i], "c"); }\n'})
tap.done()
