#!/usr/bin/python3
"""check-site - the documentation builds as a site: every link and anchor leads somewhere, every page is in the menu, and no page asks another host."""
import html.parser
import os
import re
import subprocess
import tempfile
import urllib.parse

import tap

CONFIG = 'mkdocs.yml'


class Page(html.parser.HTMLParser):
    """The anchors of a page, where its links lead, and what it loads."""

    def __init__(self):
        super().__init__()
        self.anchors, self.links, self.loads = set(), set(), set()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors |= {attrs[name] for name in ('id', 'name') if attrs.get(name)}
        if tag == 'a' and attrs.get('href'):
            self.links.add(attrs['href'])
        elif tag in ('script', 'img', 'iframe', 'link', 'source'):
            self.loads |= {attrs[name] for name in ('src', 'href') if attrs.get(name)}

    @staticmethod
    def read(path):
        page = Page()
        with open(path, encoding='utf-8') as f:
            page.feed(f.read())
        return page


def pages_of(site):
    found = {}
    for folder, _, names in os.walk(site):
        for name in names:
            if name.endswith('.html') and name != '404.html':
                path = os.path.join(folder, name)
                found[os.path.normpath(os.path.relpath(path, site))] = Page.read(path)
    return found


def link_problems(site, pages):
    problems = []
    for name, page in sorted(pages.items()):
        for link in sorted(page.links):
            url = urllib.parse.urlsplit(link)
            if url.scheme or url.netloc:
                continue
            path = urllib.parse.unquote(url.path)
            target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            anchor = urllib.parse.unquote(url.fragment)
            if not os.path.exists(os.path.join(site, target)):
                problems.append(f'{name}: a link leads nowhere: {link}')
            elif anchor and target in pages and anchor not in pages[target].anchors:
                problems.append(f'{name}: {target} has no anchor {anchor}')
    return problems


def load_problems(pages):
    return [f'{name}: loads from another host: {what}' for name, page in sorted(pages.items()) for what in sorted(page.loads)
            if urllib.parse.urlsplit(what).netloc and not what.startswith('data:')]


def menu_problems(root):
    listed = set(re.findall(r'^ +- [^:\n]+: (\S+\.md)$', tap.read(root, CONFIG), re.M))
    there = {name for name in os.listdir(os.path.join(root, 'docs')) if name.endswith('.md')}
    return [f'docs/{name}: not in the menu of {CONFIG}' for name in sorted(there - listed)]


def check(root):
    with tempfile.TemporaryDirectory() as site:
        done = subprocess.run(['mkdocs', 'build', '--strict', '--config-file', os.path.join(root, CONFIG), '--site-dir', site],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(('WARNING', 'ERROR'))] or [done.stderr]
        pages = pages_of(site)
        return link_problems(site, pages) + load_problems(pages) + menu_problems(root)


SITE = {CONFIG: 'site_name: a\ndocs_dir: docs\nuse_directory_urls: false\nnav:\n  - A: index.md\n  - B: b.md\ntheme: {name: material, font: false}\n',
        'docs/index.md': '# A\n\n[to b](b.md#part)\n', 'docs/b.md': '# B\n\n## Part\n'}

tap.point('the documentation builds as a site', check(tap.ROOT))
tap.innocent('two pages', check, SITE)
tap.planted('a link to a page that is not there', check, {**SITE, 'docs/b.md': '# B\n\n## Part\n\n[c](c.md)\n'}, "'c.md'")
tap.planted('an anchor that is not there', check, {**SITE, 'docs/b.md': '# B\n'}, 'no anchor part')
tap.planted('a page that is not in the menu', check, {**SITE, 'docs/d.md': '# D\n'}, 'docs/d.md: not in the menu')
tap.planted('a picture from elsewhere', check, {**SITE, 'docs/b.md': '# B\n\n## Part\n\n![x](https://example.org/x.png)\n'}, 'another host')
tap.done()
