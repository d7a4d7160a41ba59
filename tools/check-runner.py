#!/usr/bin/python3
"""check-runner - run-tests counts right, and lets no broken test pass."""
import importlib.machinery
import importlib.util
import os
import time

import tap

loader = importlib.machinery.SourceFileLoader('run_tests', os.path.join(tap.ROOT, 'tools', 'run-tests'))
run_tests = importlib.util.module_from_spec(importlib.util.spec_from_loader('run_tests', loader))
loader.exec_module(run_tests)


def counts(script, timeout_s=20, protocol='tap'):
    """(passed, failed, skipped) of a shell script run as a test."""
    status, out, _ = run_tests.run_command(['sh', '-c', script], dict(os.environ), tap.ROOT, timeout_s)
    result = run_tests.judge({'protocol': protocol}, status, out)
    return result.passed, result.failed, result.skipped


def expect(name, script, wanted, **options):
    got = counts(script, **options)
    tap.point(name, [] if got == wanted else [f'expected {wanted}, got {got}'])


TWO = 'echo 1..2; echo "ok 1 - a"; echo "ok 2 - b"; '
expect('points are counted', TWO, (2, 0, 0))
expect('two plans add up', TWO + TWO, (4, 0, 0))
expect('a failed point', 'echo 1..2; echo "ok 1"; echo "not ok 2"; exit 1', (1, 1, 0))
expect('a failed point, though the status is 0', 'echo 1..2; echo "ok 1"; echo "not ok 2"', (1, 1, 0))
expect('a skipped point is neither', 'echo 1..2; echo "ok 1"; echo "ok 2 # SKIP no IPv6"', (1, 0, 1))
expect('no output', 'true', (0, 1, 0))
expect('an empty plan', 'echo 1..0', (0, 1, 0))
expect('points without a plan', 'echo "ok 1"', (1, 1, 0))
expect('fewer points than planned', 'echo 1..3; echo "ok 1"', (1, 1, 0))
expect('a status after good points', TWO + 'exit 3', (2, 1, 0))
expect('a crash after good points', TWO + 'kill -SEGV $$', (2, 1, 0))
expect('a bail-out', 'echo 1..1; echo "Bail out! no memory"; exit 1', (0, 1, 0))
expect('a command that is not there', './no-such-command', (0, 1, 0))
expect('a test that speaks no TAP, good', 'true', (1, 0, 0), protocol='exitcode')
expect('a test that speaks no TAP, bad', 'false', (0, 1, 0), protocol='exitcode')
expect('a test that runs out of time', TWO + 'sleep 100 & sleep 100', (2, 1, 0), timeout_s=0.2)

begun = time.monotonic()
status, out, _ = run_tests.run_command(['sh', '-c', 'sleep 100 & echo $!'], dict(os.environ), tap.ROOT, 20)
left = [] if time.monotonic() - begun < 10 else ['it kept the runner waiting']
for _ in range(100):
    # The killed process may still stand in the table until somebody asks for its status.
    try:
        with open(f'/proc/{int(out)}/stat', encoding='ascii') as f:
            alive = f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        alive = False
    if not alive:
        break
    time.sleep(0.05)
tap.point('a process left behind is ended', left + (['it is still there'] if alive else []))
tap.done()
