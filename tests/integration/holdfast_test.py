"""
holdfast_test.py - the runner of the integration tests: TAP, checks, deadlines, cleaning up.

A test is a function with the decorator @test that takes its context `t`; the file ends with `main()`. The output is
TAP, one point a function, so that a failure is named, followed by the failed check and the end of the server's log.

No test sleeps until something "must have happened": it polls a condition with a deadline (wait_until), and each
test as a whole has one (SIGALRM), so that a server that hangs is a failure and never a test that hangs.

HF_TEST_PATIENCE multiplies all deadlines, for slow builds (sanitizers) and machines.
"""
import os
import signal
import sys
import time
import traceback

PATIENCE = float(os.environ.get('HF_TEST_PATIENCE', '1'))
DEADLINE_S = 10.0 * PATIENCE  # for one answer of a server on loopback


class CheckFailed(AssertionError):
    """A check of a test did not hold. Its text names the check and what was found."""


class TestTimeout(BaseException):
    """The deadline of the whole test is over. No Exception, so that no test catches it by mistake."""


class Skip(Exception):
    """This machine cannot run the test; the text says why."""


def fail(what):
    raise CheckFailed(what)


def check(condition, what):
    if not condition:
        raise CheckFailed(what)


def check_equal(got, want, what):
    if got != want or isinstance(got, bool) != isinstance(want, bool):
        raise CheckFailed(f'{what}: got {shorten(got)}, want {shorten(want)}')


def check_in(got, wanted, what):
    if got not in wanted:
        raise CheckFailed(f'{what}: got {shorten(got)}, want one of {shorten(wanted)}')


def shorten(value, length=400):
    text = repr(value)
    return text if len(text) <= length else f'{text[:length // 2]} … {text[-length // 2:]}'


def wait_until(condition, what, deadline_s=DEADLINE_S, step_s=0.01):
    """Poll until condition() is true, and return its value. What it checks may not exist yet: OSError is "not yet"."""
    end = time.monotonic() + deadline_s
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except OSError as error:
            last = error
        if time.monotonic() > end:
            raise CheckFailed(f'not within {deadline_s:g} s: {what} (last: {shorten(last)})')
        time.sleep(step_s)


class Context:
    """What one test owns. Everything taken with own() is closed when the test ends, newest first."""

    def __init__(self, name):
        self.name = name
        self.owned = []

    def own(self, thing):
        self.owned.append(thing.close)
        return thing

    def cleanup(self, function):
        self.owned.append(function)

    def close(self):
        while self.owned:
            try:
                self.owned.pop()()
            except Exception as error:  # one that cannot be closed must not keep the others open
                print(f'# cleaning up: {error!r}')


TESTS = []
AFTER_TEST = []  # called with (failed): returns a list of complaints, which make the test fail
AT_END = []  # called after the last test: returns (name, complaint or None), a TAP point each
LOG_TAILS = []  # called on a failure: returns lines to print


def test(function=None, *, deadline=60):
    """Register a test. deadline: seconds for the whole of it, before HF_TEST_PATIENCE."""
    def register(f):
        TESTS.append((f.__name__, f, deadline * PATIENCE))
        return f
    return register(function) if function else register


def on_alarm(signum, frame):
    stack = ''.join(traceback.format_stack(frame, limit=6))
    raise TestTimeout(f'the deadline of the whole test is over; it was here:\n{stack}')


def comment(text):
    for line in str(text).rstrip().split('\n'):
        print(f'# {line}', flush=True)


def where(error):
    """The place in the test's own file, which is more useful than the place in this one."""
    frames = [f for f in traceback.extract_tb(error.__traceback__)
              if os.path.basename(f.filename).startswith('test_')]
    return f'{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}: {frames[-1].line}' if frames else ''


def run_one(number, name, function, deadline_s):
    complaints = []
    skipped = None
    context = Context(name)
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, deadline_s)
    try:
        function(context)
    except Skip as reason:
        skipped = reason
    except CheckFailed as error:
        complaints.append(f'{error}\n  at {where(error)}')
    except TestTimeout as error:
        complaints.append(str(error))
    except Exception as error:
        complaints.append(f'{error!r}\n{traceback.format_exc(limit=-8)}')
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    tails = [line for tail in LOG_TAILS for line in tail()] if complaints else []  # before the servers are closed
    context.close()
    for look in AFTER_TEST:
        complaints += look(bool(complaints))
    took = f'{time.monotonic() - began:.2f} s'
    if skipped and not complaints:
        print(f'ok {number} - {name} # SKIP {skipped}', flush=True)
        return True
    print(f'{"not ok" if complaints else "ok"} {number} - {name}', flush=True)
    comment(took)
    for complaint in complaints:
        comment(f'FAILED: {complaint}')
    for line in tails:
        comment(line)
    return not complaints


def main():
    """Run the tests of this file; with arguments, only those whose names contain one of them."""
    signal.signal(signal.SIGALRM, on_alarm)
    wanted = sys.argv[1:]
    chosen = [one for one in TESTS if not wanted or any(word in one[0] for word in wanted)]
    print(f'1..{len(chosen) + len(AT_END)}', flush=True)
    good = True
    for number, (name, function, deadline_s) in enumerate(chosen, 1):
        good = run_one(number, name, function, deadline_s) and good
    for number, look in enumerate(AT_END, len(chosen) + 1):
        name, complaint = look()
        print(f'{"not ok" if complaint else "ok"} {number} - {name}', flush=True)
        if complaint:
            comment(f'FAILED: {complaint}')
        good = good and not complaint
    sys.exit(0 if good else 1)
