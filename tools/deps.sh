#!/bin/bash
# deps.sh - install the Debian packages that Holdfast needs and this machine lacks.
#   tools/deps.sh [run|build|test|bench|package|docs]...    installs what is missing of these sets (default: build test)
#   tools/deps.sh --check SET...         installs nothing; names what is missing and exits with status 1
# The set "test" also brings the clients from npm that the tests use (tests/foreign), by the lock file there, Playwright and Puppeteer (tests/browser)
# and what the TypeScript library (sdk/js) and the admin page (src/admin) are built and tested with.
# It needs neither network nor root where nothing is missing. Elsewhere than on Debian and its kin it leaves the
# packages to you, and Meson names what it does not find.
set -eu

# What an installed holdfast needs; what compiling it needs; what `make test` needs beyond that; what `make site` does; what `make deb` does; what `make bench` does: the peers.
run="ca-certificates libssl3 libc-ares2 libjansson4 libmicrohttpd12 libyaml-0-2 zlib1g libsqlite3-0 libcurl4 libseccomp2"
build="gcc libc6-dev meson ninja-build pkg-config libssl-dev libc-ares-dev libjansson-dev libmicrohttpd-dev libyaml-dev zlib1g-dev libsqlite3-dev libcurl4-openssl-dev libseccomp-dev"
test="binutils dpkg-dev clang clang-format libclang-rt-14-dev libcmocka-dev python3 python3-cryptography python3-jwt python3-websockets curl procps chromium firefox-esr openssl zsh g++ groff-base libuv1-dev iproute2 nftables valgrind python3-hypothesis python3-jsonschema python3-yaml mkdocs mkdocs-material"
docs="mkdocs mkdocs-material"
package="dpkg-dev binutils"
bench="python3 python3-websockets util-linux openssl nginx-light libnginx-mod-nchan nats-server"
# Node.js and npm also come in other ways than Debian's packages, which then would not go with them.
command -v node >/dev/null || test="$test nodejs" bench="$bench nodejs"
command -v npm >/dev/null || test="$test npm" bench="$bench npm"

say()
{
    echo "deps: $*" >&2
}

check_only=no
sets=()
for arg in "$@"; do
    case $arg in
    --check) check_only=yes ;;
    run | build | test | bench | package | docs) sets+=("$arg") ;;
    *)
        say "no such set: $arg (run, build, test, bench, package, docs)"
        exit 2
        ;;
    esac
done
[ ${#sets[@]} -gt 0 ] || sets=(build test)

# What npm has installed says by a copy of the lock file which one it was.
install_node_modules()
{
    local name folder
    for name in tests/foreign tests/browser sdk/js src/admin; do
        folder=$(dirname "$0")/../$name
        cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed-lock" && continue
        say "installing what $name/package-lock.json names"
        npm ci --prefix "$folder" --loglevel=error --no-progress </dev/null >&2
        cp "$folder/package-lock.json" "$folder/node_modules/.installed-lock"
    done
}

finish()
{
    if [ $check_only = no ] && [[ " ${sets[*]} " == *" test "* ]] && command -v npm >/dev/null; then
        install_node_modules
    fi
    exit 0
}

if ! command -v dpkg-query >/dev/null; then
    [ $check_only = yes ] || say "no Debian package tools here: see tools/deps.sh for what to install"
    finish
fi

missing=()
for set in "${sets[@]}"; do
    for package in ${!set}; do
        # A nodejs that is not Debian's brings its own npm, and cannot stand beside Debian's.
        if [ "$package" = npm ] && command -v npm >/dev/null; then continue; fi
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        # A package that exists for several architectures prints its status once for each.
        [[ $status == *installed* && $status != *not-installed* ]] || missing+=("$package")
    done
done
[ ${#missing[@]} -gt 0 ] || finish

if [ $check_only = yes ]; then
    say "missing packages: ${missing[*]}"
    say "install them with: make deps"
    exit 1
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
        say "missing packages: ${missing[*]}"
        say "this needs root, and there is no sudo: as root, run: apt-get install ${missing[*]}"
        exit 1
    fi
    as_root=(sudo)
fi

apt()
{
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@" </dev/null >&2
}

say "installing: ${missing[*]}"
if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then
    apt update
fi
# Lists that are old name versions which the mirrors no longer have: once more with new ones.
apt install --no-install-recommends "${missing[@]}" || {
    apt update
    apt install --no-install-recommends "${missing[@]}"
}
say "installed: ${missing[*]}"
case " ${missing[*]} " in
*" nginx-light "* | *" nats-server "*) say "Debian may have started nginx and nats-server as services; the benchmarks need only the programs" ;;
esac
finish
