"""
tap.py - what the checks of this folder share: TAP output, and planted faults.

Each check is a function from a folder to a list of problems. It is run on the project, where it must find nothing, and
on small trees with one planted fault each, where it must find that fault: a check that sees nothing proves nothing.
"""
import os
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

points = []


def point(name, problems):
    """One TAP point, which passes when there is no problem."""
    points.append(not problems)
    print(('not ok' if problems else 'ok'), len(points), '-', name)
    for problem in problems:
        print('#   ' + str(problem).replace('\n', '\n#   '))


def run_on(check, files):
    """check(folder), for a folder that holds these files (path: text) and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
            with open(os.path.join(folder, path), 'w', encoding='utf-8') as f:
                f.write(text)
        return check(folder)


def planted(name, check, files, expect):
    """check must find one problem in these files, with expect in its text."""
    problems = run_on(check, files)
    seen = len(problems) == 1 and expect in problems[0]
    point('a planted fault is seen: ' + name, [] if seen else [f'expected one problem with "{expect}"', *problems])


def innocent(name, check, files):
    """check must find no problem in these files."""
    point('left alone: ' + name, run_on(check, files))


def done():
    print(f'1..{len(points)}')
    sys.exit(0 if all(points) else 1)


NOT_SOURCES = ('node_modules', 'dist')  # What npm brought for the tests, and what is made of the TypeScript library.
SDK_PAGES = 'sdk/js/api'


def sources(root, folders, endings):
    """The project's files below these folders, as paths from root, in a stable order."""
    found = []
    for folder in folders:
        for at, dirs, names in os.walk(os.path.join(root, folder)):
            dirs[:] = sorted(name for name in dirs if name not in NOT_SOURCES and os.path.join(at, name) != os.path.join(root, SDK_PAGES))
            found += [os.path.relpath(os.path.join(at, n), root) for n in sorted(names) if n.endswith(endings)]
    return found


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8', errors='replace') as f:
        return f.read()
