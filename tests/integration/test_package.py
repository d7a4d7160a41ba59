#!/usr/bin/python3
"""What is in packaging/: the Debian packages as `make deb` makes them, installed into a root of their own and run; and the container's files."""
import glob
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

from holdfast_server import HOLDFAST, ROOT, Server, free_port
from holdfast_test import DEADLINE_S, Skip, check, check_equal, check_in, main, test, wait_until

BUILD = os.path.dirname(HOLDFAST)


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S * 6, stdin=subprocess.DEVNULL, check=False, **options)
    check_equal(done.returncode, 0, f'exit status of {" ".join(command)}: {done.stdout.decode()[-1500:]}')
    return done.stdout.decode()


class Packages:
    """The packages, once for all tests: {name: file}."""

    def __init__(self):
        self.folder = None

    def __call__(self):
        if not shutil.which('dpkg-shlibdeps'):
            raise Skip('there are no tools to make Debian packages here')
        if self.folder is None:
            self.folder = tempfile.TemporaryDirectory(prefix='holdfast-deb-')
            run(f'{ROOT}/packaging/deb/build', self.folder.name, env={**os.environ, 'BUILD': BUILD})
        return {os.path.basename(path).partition('_')[0]: path for path in glob.glob(f'{self.folder.name}/*.deb')}


packages = Packages()


def contents(package):
    """{path: (mode, owner)} of its files, without folders."""
    lines = [line.split(None, 5) for line in run('dpkg-deb', '-c', packages()[package]).splitlines()]
    return {fields[5].partition(' -> ')[0].lstrip('.'): (fields[0], fields[1]) for fields in lines if not fields[0].startswith('d')}


def field(package, name):
    return run('dpkg-deb', '-f', packages()[package], name).strip()


class Root:
    """A root folder with as much of a system in it as dpkg and the scripts need."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix='holdfast-root-')
        self.name = self.folder.name
        for folder in ('var/lib/dpkg/info', 'var/lib/dpkg/updates', 'var/lib/dpkg/triggers', 'var/log', 'etc'):
            os.makedirs(f'{self.name}/{folder}')
        for path, text in {'var/lib/dpkg/status': '', 'var/lib/dpkg/available': '', 'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
                           'etc/group': 'root:x:0:\n', 'etc/shadow': '', 'etc/gshadow': ''}.items():
            with open(f'{self.name}/{path}', 'w', encoding='ascii') as file:
                file.write(text)

    def dpkg(self, *arguments):
        return run('dpkg', f'--root={self.name}', '--force-script-chrootless', '--force-depends', '--force-confold', '--log=/dev/null', *arguments,
                   env={**os.environ, 'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'DEBIAN_FRONTEND': 'noninteractive'})

    def read(self, path):
        with open(f'{self.name}/{path}', encoding='utf-8') as file:
            return file.read()

    def close(self):
        self.folder.cleanup()


@test(deadline=120)
def packages_hold_what_belongs_to_them(t):
    check_equal(sorted(packages()), ['holdfast', 'libholdfast-dev', 'libholdfast0'], 'packages')
    server, library, dev = contents('holdfast'), contents('libholdfast0'), contents('libholdfast-dev')
    for path in ['/usr/bin/holdfast', '/etc/holdfast/holdfast.yaml', '/lib/systemd/system/holdfast.service', '/lib/systemd/system/holdfast.socket',
                 '/usr/share/man/man1/holdfast.1.gz', '/usr/share/holdfast/grafana/holdfast.json', '/usr/share/holdfast/prometheus/holdfast.rules.yml',
                 '/usr/share/bash-completion/completions/holdfast', '/usr/share/zsh/vendor-completions/_holdfast',
                 '/usr/share/doc/holdfast/copyright', '/usr/share/doc/holdfast/changelog.Debian.gz']:
        check_in(path, server, 'the server')
    check(any(re.search(r'/libholdfast\.so\.\d+$', path) for path in library), f'the library: {sorted(library)}')
    for path in ['/usr/include/holdfast/holdfast.h', '/usr/share/man/man3/hf_client_new.3.gz']:
        check_in(path, dev, 'what development takes')
    check(any(path.endswith('/pkgconfig/holdfast.pc') for path in dev), 'pkg-config')
    for files in (server, library, dev):
        check_equal({owner for _, owner in files.values()}, {'root/root'}, 'owners')
        check_equal([path for path, (mode, _) in files.items() if 'w' in mode[4:] and mode[0] != 'l'], [], 'what others may write')
    check_equal(set(server) & set(library) | set(server) & set(dev) | set(library) & set(dev), set(), 'files that two packages have')


@test(deadline=120)
def the_server_s_package_names_whose_work_is_in_it(t):
    held = run('sh', '-c', 'dpkg-deb --fsys-tarfile "$0" | tar -xO ./usr/share/doc/holdfast/copyright', packages()['holdfast'])
    check_in('Copyright: the authors of Holdfast', held, 'ours')
    with open(f'{ROOT}/src/admin/page.js', encoding='utf-8') as page:
        theirs = re.findall(r'^Copyright \(c\) (.+)$', page.read(), re.MULTILINE)
    check(theirs != [], 'the admin page tells of nobody else: this test looks in the wrong place')
    for holder in theirs:
        check_in(holder, held, 'of the curves of the admin page')


@test
def packages_say_what_they_need(t):
    depends = field('holdfast', 'Depends')
    needed = set(re.findall(r'NEEDED +(\S+)', run('objdump', '-p', HOLDFAST)))
    for library, package in {'libssl.so.3': 'libssl3', 'libmicrohttpd.so.12': 'libmicrohttpd12', 'libjansson.so.4': 'libjansson4'}.items():
        check_in(library, needed, 'the binary is linked with')
        check_in(package, depends, 'Depends')
    check_equal(field('holdfast', 'Version'), run(HOLDFAST, '--version').split()[1] + '-1', 'version')
    check_equal(field('libholdfast-dev', 'Depends').partition(',')[0], f'libholdfast0 (= {field("holdfast", "Version")})', 'the library of the same version')


def as_root():
    if os.geteuid() != 0:
        raise Skip('dpkg installs as root only')


@test(deadline=120)
def package_is_installed_and_runs(t):
    as_root()
    root = t.own(Root())
    root.dpkg('-i', packages()['holdfast'], packages()['libholdfast0'])
    user = re.search(r'^holdfast:[^:]*:(\d+):(\d+):[^:]*:([^:]*):(.*)$', root.read('etc/passwd'), re.M)
    check(user is not None, f'the user: {root.read("etc/passwd")}')
    check_equal(user.group(4), '/usr/sbin/nologin', 'his shell')
    file = os.stat(f'{root.name}/etc/holdfast/holdfast.yaml')
    check_equal((oct(file.st_mode & 0o777), file.st_uid, file.st_gid), ('0o640', 0, int(user.group(2))), 'who may read the configuration')
    # What the unit starts is there, and serves with what is installed.
    unit = root.read('lib/systemd/system/holdfast.service')
    command = re.search(r'^ExecStart=(.*)$', unit, re.M).group(1).split()
    check_equal(re.search(r'^User=(.*)$', unit, re.M).group(1), 'holdfast', "the unit's user")
    for path in (command[0], command[-1]):
        check(os.path.exists(root.name + path), f'{path} is installed')
    mine = t.own(Server(workers=1))
    mine.arguments = [root.name + command[0], *command[1:-1], root.name + command[-1], *mine.arguments[2:]]
    mine.start()
    mine.publish('room', 'hello')
    mine.stop()


@test(deadline=120)
def upgrade_keeps_the_configuration_and_purge_takes_it(t):
    as_root()
    root = t.own(Root())
    root.dpkg('-i', packages()['holdfast'])
    path = f'{root.name}/etc/holdfast/holdfast.yaml'
    with open(path, 'a', encoding='utf-8') as file:
        file.write('workers: 3\n')
    os.chmod(path, 0o600)
    root.dpkg('-i', packages()['holdfast'])
    check_in('workers: 3', root.read('etc/holdfast/holdfast.yaml'), 'what the administrator has written')
    check_equal(oct(os.stat(path).st_mode & 0o777), '0o600', 'and who may read it')
    check_equal(root.read('etc/passwd').count('\nholdfast:'), 1, 'users')
    root.dpkg('--remove', 'holdfast')
    check(os.path.exists(path), 'a removed package leaves its configuration')
    root.dpkg('--purge', 'holdfast')
    check(not os.path.exists(path), 'a purged one does not')


@test
def maintainer_scripts_and_man_pages_are_sound(t):
    for script in ('build', 'postinst', 'prerm', 'postrm'):
        run('bash' if script == 'build' else 'sh', '-n', f'{ROOT}/packaging/deb/{script}')
    with tempfile.TemporaryDirectory(prefix='holdfast-dev-') as folder:
        run('dpkg-deb', '-x', packages()['libholdfast-dev'], folder)
        links = [path for path in glob.glob(f'{folder}/usr/share/man/man3/*') if os.path.islink(path)]
        check_equal([path for path in links if not os.path.exists(path)], [], 'links that lead nowhere')
        with gzip.open(f'{folder}/usr/share/man/man3/hf_client_new.3.gz', 'rt') as page:
            check(len(page.read()) > 0, 'a page has a text')
        text = open(glob.glob(f'{folder}/usr/lib/*/pkgconfig/holdfast.pc')[0], encoding='utf-8').read()
        check_in('prefix=/usr\n', text, 'pkg-config')


# The container

def container(name):
    with open(f'{ROOT}/packaging/container/{name}', encoding='utf-8') as file:
        return file.read()


@test
def container_file_copies_what_there_is_and_runs_as_nobody_special(t):
    lines = [line for line in re.sub(r'\\\n', ' ', container('Containerfile')).splitlines() if line and not line.startswith('#')]
    stages = [line for line in lines if line.startswith('FROM ')]
    check_equal(len(stages), 2, 'stages')
    last = lines[lines.index(stages[-1]):]
    for line in lines:
        if line.startswith('COPY ') and '--from' not in line:
            check(os.path.exists(f'{ROOT}/{line.split()[1]}'), f'{line}: the file is in the tree')
    check(any(re.fullmatch(r'USER [1-9]\d*:[1-9]\d*', line) for line in last), 'the user is a number that is not 0')
    check(any(line.startswith('STOPSIGNAL SIGTERM') for line in last), 'the signal that begins the drain')
    entry = json.loads(next(line for line in last if line.startswith('ENTRYPOINT ')).partition(' ')[2])
    copied = [line.split()[-1] for line in last if line.startswith('COPY ')]
    for path in (entry[0], entry[-1]):
        check_in(path, copied, 'what the entry point names is copied')
    sets = re.findall(r'deps\.sh (\w+)', '\n'.join(lines))
    check_equal(sets, ['build', 'run'], 'sets of packages')


@test
def container_configuration_serves_and_its_health_check_sees(t):
    folder = tempfile.TemporaryDirectory(prefix='holdfast-container-')
    t.cleanup(folder.cleanup)
    ports = {'8000': free_port(), '8001': free_port()}
    text = container('holdfast.yaml')
    for port, mine in ports.items():
        check_in(f'0.0.0.0:{port}', text, 'addresses')
        text = text.replace(f'0.0.0.0:{port}', f'127.0.0.1:{mine}')
    with open(f'{folder.name}/holdfast.yaml', 'w', encoding='utf-8') as file:
        file.write(text)
    health = json.loads(re.search(r'HEALTHCHECK .*\\\n +CMD (.*)', container('Containerfile')).group(1))
    health = [word.replace('/8001', f'/{ports["8001"]}') for word in health]

    def healthy():
        return subprocess.run(health, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=DEADLINE_S, check=False).returncode == 0
    check(not healthy(), 'nothing serves yet')
    mine = t.own(Server(workers=1))
    mine.arguments = [HOLDFAST, 'serve', '--config', f'{folder.name}/holdfast.yaml']
    mine.api_port = ports['8001']
    mine.start()
    check(healthy(), 'it serves')
    mine.process.send_signal(signal.SIGTERM)
    mine.wait_exit()
    wait_until(lambda: not healthy(), 'it has ended')


main()
