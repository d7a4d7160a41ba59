#!/usr/bin/python3
"""What `make install` brings, used as a stranger would: pkg-config, the shared and the static library from C and C++, the examples, the man pages."""
import glob
import os
import re
import subprocess
import tempfile

from fault_proxy import FaultProxy
from holdfast_server import HOLDFAST, ROOT, Server, start_process, kill_group, url_of
from holdfast_test import DEADLINE_S, check, check_equal, check_in, main, test, wait_until

BUILD = os.path.dirname(HOLDFAST)
PREFIX = '/usr/local'
EXAMPLES = sorted(glob.glob(f'{ROOT}/examples/*.c'))
NEEDS = {'uv_loop': ['libuv']}  # of pkg-config, beside holdfast


class Installed:
    """The tree that `meson install` makes, once for all tests."""

    def __init__(self):
        self.folder = None

    def __call__(self):
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix='holdfast-install-')
            run(['meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--destdir', self.folder.name])
        return self.folder.name + PREFIX

    def lib(self):
        """Where libraries go is the builder's choice: lib, or Debian's lib/TRIPLET."""
        return os.path.dirname(os.path.dirname(glob.glob(f'{self()}/lib/**/holdfast.pc', recursive=True)[0]))

    def pkg_config(self, *arguments):
        root = self()[:-len(PREFIX)]
        env = {**os.environ, 'PKG_CONFIG_PATH': f'{self.lib()}/pkgconfig', 'PKG_CONFIG_SYSROOT_DIR': root}
        # What is not installed there is the system's, and not to be looked for under our root.
        return [word.replace(f'{root}/usr/include', '/usr/include').replace(f'{root}/usr/lib', '/usr/lib')
                for word in run(['pkg-config', *arguments], env=env).split()]


installed = Installed()


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S * 4, stdin=subprocess.DEVNULL, **options)
    check_equal(done.returncode, 0, f'exit status of {" ".join(command)}: {done.stdout.decode()[-1500:]}')
    return done.stdout.decode()


def build(source, out, compiler=('cc', '-std=gnu11'), static=False):
    name = os.path.splitext(os.path.basename(source))[0]
    modules = ['holdfast', *NEEDS.get(name, [])]
    flags = installed.pkg_config('--cflags', *modules)
    libraries = installed.pkg_config('--libs', *(['--static'] if static else []), *modules)
    if static:
        libraries = [f'{installed.lib()}/libholdfast.a' if word == '-lholdfast' else word for word in libraries]
    run([*compiler, '-Wall', '-Wextra', '-Wpedantic', '-Werror', source, *flags, *libraries, '-o', out])


class Program:
    """An example under way, found its library where that is installed; its output is kept in a file."""

    def __init__(self, t, *command, stdin=subprocess.DEVNULL):
        self.out = t.own(tempfile.TemporaryFile())
        self.process = start_process([*command], stdin=stdin, stdout=self.out, stderr=self.out,
                                     env={**os.environ, 'LD_LIBRARY_PATH': installed.lib()})
        t.cleanup(lambda: kill_group(self.process))

    def text(self):
        return os.pread(self.out.fileno(), 1 << 20, 0).decode('utf-8', 'replace')

    def wait_for(self, words):
        wait_until(lambda: words in self.text(), f'{words!r} in the output: {self.text()[-400:]!r}')

    def say(self, line):
        self.process.stdin.write(line.encode() + b'\n')
        self.process.stdin.flush()


@test(deadline=120)
def all_that_belongs_is_installed(t):
    prefix = installed()
    for path in ['bin/holdfast', 'include/holdfast/holdfast.h', 'include/holdfast/pool.h', 'include/holdfast/threaded.h',
                 'share/man/man1/holdfast.1', 'share/man/man3/libholdfast.3', 'share/bash-completion/completions/holdfast',
                 'share/zsh/site-functions/_holdfast']:
        check(os.path.exists(f'{prefix}/{path}'), f'{path} is installed')
    for path in ['libholdfast.a', 'libholdfast.so', 'pkgconfig/holdfast.pc']:
        check(os.path.exists(f'{installed.lib()}/{path}'), f'{path} is installed')
    check_equal(installed.pkg_config('--modversion', 'holdfast'), run([HOLDFAST, '--version']).split()[1:], 'version')


@test
def shared_library_gives_its_own_names_only_and_with_a_version(t):
    names = [line.split()[-1] for line in run(['nm', '-D', '--defined-only', f'{installed.lib()}/libholdfast.so']).splitlines()]
    strangers = [name for name in names if not re.fullmatch(r'hf_(client|pool|threaded)_\w+@@HOLDFAST_0|HOLDFAST_0', name)]
    check_equal(strangers, [], 'names that are not public, or without a version')
    header = ''.join(open(path, encoding='utf-8').read() for path in glob.glob(f'{installed()}/include/holdfast/*.h'))
    declared = set(re.findall(r'^HF_CLIENT_API [^;]*?(\w+)\(', header, re.M))
    check_equal({name.split('@')[0] for name in names} - {'HOLDFAST_0'}, declared, 'what the headers declare is what the library has')


@test
def every_function_has_its_man_page(t):
    names = run(['nm', '-D', '--defined-only', f'{installed.lib()}/libholdfast.so'])
    for name in re.findall(r'(hf_\w+)@@', names):
        check(os.path.exists(f'{installed()}/share/man/man3/{name}.3'), f'{name}(3)')
    for page in glob.glob(f'{installed()}/share/man/man*/*'):
        done = subprocess.run(['groff', '-man', '-Tutf8', '-ww', '-z', page], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S, check=False)
        check_equal((done.returncode, done.stdout.decode()), (0, ''), f'groff about {os.path.basename(page)}')


@test(deadline=240)
def examples_build_against_either_library(t):
    folder = t.own(Folder()).name
    check(len(EXAMPLES) >= 3, 'there are examples')
    for source in EXAMPLES:
        for static in (False, True):
            build(source, f'{folder}/{os.path.basename(source)}.{static}', static=static)


class Folder:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix='holdfast-examples-')
        self.name = self.folder.name

    def close(self):
        self.folder.cleanup()


@test
def header_and_library_serve_cpp(t):
    folder = t.own(Folder()).name
    with open(f'{folder}/client.cpp', 'w', encoding='utf-8') as file:
        file.write('#include <holdfast/holdfast.h>\n#include <iostream>\n'
                   'int main() { hf_client_options o; hf_client_options_init(&o); hf_client *c = nullptr; o.url = "nonsense";\n'
                   'std::cout << hf_client_strerror(hf_client_new(&o, &c)) << " " << hf_client_version() << std::endl; hf_client_free(c); }\n')
    build(f'{folder}/client.cpp', f'{folder}/client', compiler=('c++', '-std=c++17'))
    out = run([f'{folder}/client'], env={**os.environ, 'LD_LIBRARY_PATH': installed.lib()})
    check_in('0.1', out, 'it runs')


@test(deadline=60)
def what_readme_shows_in_twenty_lines_works(t):
    with open(f'{ROOT}/README.md', encoding='utf-8') as file:
        program = re.search(r'^```c\n(.*?)^```$', file.read(), re.M | re.S).group(1)
    check(len([line for line in program.splitlines() if line.strip()]) <= 20, f'at most twenty lines: {program}')
    server = t.own(Server(workers=2)).start()
    check_in('"ws://127.0.0.1:8000/ws"', program, 'the server is that of the defaults')
    folder = t.own(Folder()).name
    with open(f'{folder}/readme.c', 'w', encoding='utf-8') as file:
        file.write(program.replace('ws://127.0.0.1:8000/ws', url_of(server.port)))
    build(f'{folder}/readme.c', f'{folder}/readme')
    follower = Program(t, 'stdbuf', '-oL', f'{folder}/readme')
    wait_until(lambda: any(c['subscribers'] for c in server.api('GET', '/api/channels?prefix=demo').json['channels']), 'it has subscribed')
    server.publish('demo', 'hello')
    follower.wait_for('"hello"')


@test(deadline=120)
def chat_talks_through_a_break(t):
    folder = t.own(Folder()).name
    build(f'{ROOT}/examples/chat.c', f'{folder}/chat')
    server = t.own(Server(workers=2)).start()
    proxy = t.own(FaultProxy(server.port))
    ann = Program(t, f'{folder}/chat', 'room', 'ann', url_of(proxy.port), stdin=subprocess.PIPE)
    ann.wait_for('* connected')
    bob = Program(t, f'{folder}/chat', 'room', 'bob', url_of(server.port), stdin=subprocess.PIPE)
    bob.wait_for('* connected')
    bob.say('hello')
    ann.wait_for('"bob: hello"')
    proxy.cut_now()
    ann.say('still here?')
    ann.wait_for('* back again, nothing was missed')
    bob.wait_for('"ann: still here?"')
    bob.process.stdin.close()
    check_equal(bob.process.wait(DEADLINE_S), 0, 'exit status at the end of input')


@test(deadline=120)
def ticker_shows_the_newest(t):
    folder = t.own(Folder()).name
    build(f'{ROOT}/examples/ticker.c', f'{folder}/ticker')
    server = t.own(Server(workers=2)).start()
    for price in (1, 2, 3):
        server.publish('eur', price)
    ticker = Program(t, f'{folder}/ticker', url_of(server.port), 'eur', 'usd')
    ticker.wait_for('eur 3')
    server.publish('usd', 7)
    ticker.wait_for('usd 7')
    check('eur 1' not in ticker.text(), 'the newest only')


@test(deadline=120)
def uv_loop_carries_a_client(t):
    folder = t.own(Folder()).name
    build(f'{ROOT}/examples/uv_loop.c', f'{folder}/uv_loop')
    server = t.own(Server(workers=2)).start()
    proxy = t.own(FaultProxy(server.port))
    program = Program(t, f'{folder}/uv_loop', 'room', url_of(proxy.port))
    wait_until(lambda: any(c['subscribers'] for c in server.api('GET', '/api/channels?prefix=room').json['channels']), 'it has subscribed')
    server.publish('room', 'one')
    program.wait_for('"one"')
    proxy.cut_now()
    server.publish('room', 'two')
    program.wait_for('"two"')
    program.process.terminate()
    check_equal(program.process.wait(DEADLINE_S), 0, 'exit status after a signal')


@test(deadline=120)
def pool_publishes_by_key_through_a_break(t):
    folder = t.own(Folder()).name
    build(f'{ROOT}/examples/pool.c', f'{folder}/pool')
    server = t.own(Server(workers=2)).start()
    proxy = t.own(FaultProxy(server.port))
    program = Program(t, f'{folder}/pool', 'quotes', url_of(proxy.port), stdin=subprocess.PIPE)

    def kept():
        return [m['payload'] for m in server.post('/api/history', {'channel': 'quotes', 'limit': 1000})['messages']]
    for n in range(600):
        program.say(f'key-{n % 20} {n % 20}:{n}')
        if n == 300:
            wait_until(lambda: len(kept()) > 200, 'some have come')
            proxy.cut_now()
    program.process.stdin.close()
    check_equal(program.process.wait(DEADLINE_S * 3), 0, f'exit status ({program.text()})')
    for key in range(20):
        check_equal([p for p in kept() if p.startswith(f'{key}:')], [f'{key}:{n}' for n in range(key, 600, 20)], f'messages of key {key}')
    check_equal(program.text().count('acknowledged'), 3, 'members told')


@test(deadline=240)
def valgrind_finds_nothing(t):
    """The commands are the library's users: publish and subscribe through connections that are cut, and read history, all under memcheck."""
    memcheck = ['valgrind', '-q', '--error-exitcode=99', '--leak-check=full', '--errors-for-leak-kinds=definite,possible', HOLDFAST]
    server = t.own(Server(workers=2)).start()
    proxy = t.own(FaultProxy(server.port, seed=3))
    proxy.cut_each((2000, 40000), how='mix', times=6)
    sub = Program(t, *memcheck, 'sub', '--url', url_of(proxy.port), '--count', '3000', 'room')
    wait_until(lambda: any(c['subscribers'] for c in server.api('GET', '/api/channels?prefix=room').json['channels']), 'it has subscribed')
    pub = Program(t, *memcheck, 'pub', '--url', url_of(proxy.port), 'room', stdin=subprocess.PIPE)
    pub.say('\n'.join(f'line {n}' for n in range(3000)))
    pub.process.stdin.close()
    for name, program in (('pub', pub), ('sub', sub)):
        check_equal((program.process.wait(DEADLINE_S * 6), '==' in program.text()), (0, False), f'{name}: {program.text()[-3000:]}')
    lines = [line for line in sub.text().splitlines() if line.startswith('line ')]
    check_equal(lines, [f'line {n}' for n in range(3000)], 'what came')
    history = Program(t, *memcheck, 'history', '--url', url_of(server.port), 'room')
    check_equal((history.process.wait(DEADLINE_S * 2), len(history.text().splitlines())), (0, 1024), history.text()[-3000:])


main()
