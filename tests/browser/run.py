#!/usr/bin/python3
"""
run - a test program of this folder: tests/browser/run.py demo.test.mjs
It gives it ports that nobody else has been given (HF_PORTS), passes its TAP on, and ends whatever it leaves behind.
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))

from holdfast_server import HOLDFAST, free_port, kill_group, start_process

PORTS = 24


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    if not os.path.exists(os.path.join(here, 'node_modules', 'playwright-core')):
        print('Bail out! playwright-core is missing: tools/deps.sh test')
        return 1
    env = {**os.environ, 'HOLDFAST': HOLDFAST, 'HF_PORTS': ','.join(str(free_port()) for _ in range(PORTS))}
    process = start_process(['node', os.path.join(here, sys.argv[1]), *sys.argv[2:]], env=env, stdin=subprocess.DEVNULL)
    try:
        return process.wait()
    finally:
        kill_group(process)


if __name__ == '__main__':
    sys.exit(main())
