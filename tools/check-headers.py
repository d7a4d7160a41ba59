#!/usr/bin/python3
"""check-headers - every header compiles alone: ours as the project is compiled, the public ones in strict C11 and in C++17 too."""
import concurrent.futures
import os
import subprocess

import tap

OURS = ['gcc', '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Wno-unused-parameter', '-Werror', '-x', 'c']
STRICT = ['-Wall', '-Wextra', '-Wpedantic', '-Werror']
PUBLIC = {
    'C11': ['gcc', '-std=c11', *STRICT, '-x', 'c'],
    # clang brings its own C++ front end: g++ is a package more, for one check.
    'C++17': ['clang', '-std=c++17', *STRICT, '-x', 'c++'],
}


def problem(root, path, compiler):
    """What the compiler says about a file that includes this header only, or None."""
    name = path.split('/', 1)[1]
    # Twice, so that a missing include guard is seen too.
    text = f'#include "{name}"\n#include "{name}"\n'
    run = subprocess.run([*compiler, '-fsyntax-only', '-Isrc', '-Iinclude', '-'], input=text, cwd=root, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return f'{path}: {run.stdout.strip()}' if run.returncode else None


def check(root):
    jobs = [(path, OURS) for path in tap.sources(root, ['src', 'include'], ('.h',))]
    jobs += [(path, compiler) for path in tap.sources(root, ['include'], ('.h',)) for compiler in PUBLIC.values()]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [p for p in pool.map(lambda job: problem(root, *job), jobs) if p]


tap.point('every header compiles alone', check(tap.ROOT))
tap.planted('a header that needs another', check, {'src/ws/a.h': '#pragma once\nuint32_t a(void);\n'}, 'uint32_t')
tap.planted('a header without a guard', check, {'src/ws/a.h': 'struct a {\n    int b;\n};\n'}, 'redefinition')
tap.planted('a public header that is no C++', check, {'include/holdfast/a.h': '#pragma once\nint a(int new);\n'}, 'a.h:2')
tap.planted('a public header in GNU C', check,
            {'include/holdfast/a.h': '#pragma once\n#ifndef __cplusplus\ntypeof(int) a(void);\n#endif\n'}, 'a.h')
tap.done()
