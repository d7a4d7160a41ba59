#!/bin/bash
# deps.sh - install the Debian packages that Holdfast needs and this machine lacks.
#   tools/deps.sh [run|build|test]...    installs what is missing of these sets (default: build test)
#   tools/deps.sh --check SET...         installs nothing; names what is missing and exits with status 1
# It needs neither network nor root where nothing is missing. Elsewhere than on Debian and its kin it leaves the
# packages to you, and Meson names what it does not find.
set -eu

# What an installed holdfast needs; what compiling it needs; what `make test` needs beyond that.
run="libssl3 libjansson4 libmicrohttpd12 libyaml-0-2"
build="gcc libc6-dev meson ninja-build pkg-config libssl-dev libjansson-dev libmicrohttpd-dev libyaml-dev"
test="binutils clang clang-format libclang-rt-14-dev libcmocka-dev python3 python3-websockets curl openssl procps"

say()
{
    echo "deps: $*" >&2
}

check_only=no
sets=()
for arg in "$@"; do
    case $arg in
    --check) check_only=yes ;;
    run | build | test) sets+=("$arg") ;;
    *)
        say "no such set: $arg (run, build, test)"
        exit 2
        ;;
    esac
done
[ ${#sets[@]} -gt 0 ] || sets=(build test)

if ! command -v dpkg-query >/dev/null; then
    [ $check_only = yes ] || say "no Debian package tools here: see tools/deps.sh for what to install"
    exit 0
fi

missing=()
for set in "${sets[@]}"; do
    for package in ${!set}; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        # A package that exists for several architectures prints its status once for each.
        [[ $status == *installed* && $status != *not-installed* ]] || missing+=("$package")
    done
done
[ ${#missing[@]} -gt 0 ] || exit 0

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
