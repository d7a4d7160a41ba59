#!/usr/bin/python3
"""
make-man - man pages of section 3 from the public headers: one for each function, and libholdfast(3) with what holds for all of them.

  make-man.py --list HEADER...          prints the pages' names
  make-man.py --out FOLDER HEADER...    writes them

A function's page says what the comment above its declaration says, and shows the structures and enumerations that its declaration names. So the
header is the one place where the library is described.
"""
import argparse
import os
import re
import sys

COMMENT = r'/\*(?P<comment>(?:[^*]|\*(?!/))*)\*/\s*'
FUNCTION = re.compile(r'(?:' + COMMENT + r')?^(?P<declaration>HF_[A-Z]+_API [^;]*);', re.M)
TYPE = re.compile(r'(?:' + COMMENT + r')?^(?P<text>(?P<kind>struct|enum) (?P<name>hf_\w+) \{.*?^\};)', re.M | re.S)


def words(comment):
    """A comment's text: paragraphs as they are, without the stars."""
    lines = [re.sub(r'^\s*\* ?', '', line).rstrip() for line in comment.strip().splitlines()]
    return '\n'.join(lines).strip()


def roff(text):
    text = text.replace('\\', '\\e').replace('-', '\\-')
    text = ''.join(c if ord(c) < 128 else f'\\[u{ord(c):04X}]' for c in text)
    return '\n'.join('\\&' + line if line[:1] in ('.', "'") else line for line in text.splitlines())


def paragraphs(text):
    """Prose is filled; what is indented is shown as it stands."""
    out = []
    text = re.sub(r'\n(?=[A-Z]\w+: )', '\n\n', text)  # "Errors: …", "Threads: …"
    for block in re.split(r'\n\s*\n', text):
        if re.match(r'\s{2,}', block):
            out.append('.PP\n.EX\n' + roff(block) + '\n.EE')
        else:
            out.append('.PP\n' + roff(block))
    return '\n'.join(out)


class Header:
    def __init__(self, path):
        self.name = '/'.join(path.split(os.sep)[-2:])
        with open(path, encoding='utf-8') as file:
            text = file.read()
        self.about = words(re.match(r'/\*(.*?)\*/', text, re.S).group(1))
        self.types = {m['name']: m['text'] for m in TYPE.finditer(text)}
        self.functions = []
        comment = ''
        for m in FUNCTION.finditer(text):
            # Where several declarations stand together, the comment above the first speaks of all.
            comment = words(m['comment']) if m['comment'] else comment
            self.functions.append((self.function_name(m['declaration']), m['declaration'], comment))

    @staticmethod
    def function_name(declaration):
        return re.search(r'(\w+)\(', declaration.replace('__attribute__(', ' ')).group(1)


def synopsis(header, declaration):
    plain = re.sub(r'\s+', ' ', re.sub(r'^HF_[A-Z]+_API ', '', declaration))
    return f'.nf\n.B #include <{header.name}>\n.PP\n.B {roff(plain)};\n.fi'


def summary(comment):
    first = ''
    for part in re.split(r'(?<=[.:;])\s', comment.replace('\n', ' ')):
        first = f'{first} {part}'.strip()
        if first.count('(') == first.count(')'):
            break
    first = first.rstrip('.:;')
    return first[:1].lower() + first[1:] if first else 'part of libholdfast'


def used_types(header, declaration):
    named = re.findall(r'\b(?:struct|enum) (hf_\w+)', declaration)
    return [name for name in dict.fromkeys(named) if name in header.types]


def page(name, title, parts, version):
    body = '\n'.join(parts)
    return f'.TH {name.upper()} 3 "" "Holdfast {version}" "Library Functions Manual"\n.SH NAME\n{roff(name)} \\- {roff(title)}\n{body}\n'


def function_page(header, name, declaration, comment, version):
    parts = ['.SH SYNOPSIS', synopsis(header, declaration), '.SH DESCRIPTION', paragraphs(comment)]
    for used in used_types(header, declaration):
        parts += ['.PP\n.EX\n' + roff(header.types[used]) + '\n.EE']
    others = [other for other, *_ in header.functions if other != name]
    parts += ['.SH SEE ALSO', '.BR libholdfast (3),', ',\n'.join(f'.BR {roff(other)} (3)' for other in others)]
    return page(name, summary(comment), parts, version)


def overview(headers, version):
    parts = ['.SH SYNOPSIS', '.nf', '.B cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs holdfast)', '.fi', '.SH DESCRIPTION']
    for header in headers:
        parts += [f'.SS <{header.name}>', paragraphs(re.sub(r'^\S+\.h - ', '', header.about))]
    parts += ['.SH FUNCTIONS']
    for header in headers:
        for name, _, comment in header.functions:
            parts += [f'.TP\n.BR {roff(name)} (3)\n{roff(summary(comment))}']
    parts += ['.SH SEE ALSO', '.BR holdfast (1)']
    return page('libholdfast', 'client library of the Holdfast realtime messaging server', parts, version)


def pages(paths, version):
    headers = [Header(path) for path in paths]
    made = {'libholdfast.3': overview(headers, version)}
    for header in headers:
        for name, declaration, comment in header.functions:
            if not comment:
                sys.exit(f'make-man: {header.name}: {name}() has no comment')
            made[f'{name}.3'] = function_page(header, name, declaration, comment, version)
    return made


def main():
    parser = argparse.ArgumentParser(description='Man pages from the public headers.')
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--out')
    parser.add_argument('--version', default='')
    parser.add_argument('headers', nargs='+')
    args = parser.parse_args()
    made = pages(args.headers, args.version)
    if args.list:
        print('\n'.join(made))
        return
    for name, text in made.items():
        with open(os.path.join(args.out, name), 'w', encoding='utf-8') as file:
            file.write(text)


main()
