#!/usr/bin/python3
"""
embed-files - write a C file that holds other files' bytes.
    embed-files.py --header api/demo_assets.h --prefix hf_demo_ OUT.c FILE...
For FILE style.css and the prefix above, OUT.c defines `const struct hf_str hf_demo_style_css`.
"""
import argparse
import os
import re

BYTES_PER_LINE = 32


def definition(prefix, path):
    with open(path, 'rb') as f:
        data = f.read()
    name = prefix + re.sub(r'\W', '_', os.path.basename(path))
    lines = [', '.join(str(byte) for byte in data[at:at + BYTES_PER_LINE]) for at in range(0, len(data), BYTES_PER_LINE)]
    # Unsigned, because not every char can be 200; an empty file is one byte that nobody reads.
    return (f'static const unsigned char {name}_bytes[] = {{\n    ' + (',\n    '.join(lines) or '0') +
            f'}};\nconst struct hf_str {name} = {{(const char *){name}_bytes, {len(data)}}};\n')


def main():
    args = argparse.ArgumentParser(description='Write a C file that holds the bytes of other files.')
    args.add_argument('--header', required=True)
    args.add_argument('--prefix', required=True)
    args.add_argument('output')
    args.add_argument('files', nargs='+')
    args = args.parse_args()
    parts = [f'#include "{args.header}"\n', *(definition(args.prefix, path) for path in args.files)]
    with open(args.output, 'w', encoding='ascii') as f:
        f.write('\n'.join(parts))


if __name__ == '__main__':
    main()
