/**
 * docs.mjs - makes docs/sdk-api.md of what is written in src/types.ts and src/codes.ts, so that it is written once.
 *   node docs.mjs           writes it
 *   node docs.mjs --check   says whether it is as it would be written, by the exit status
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = dirname(fileURLToPath(import.meta.url));
const page = join(root, '..', '..', 'docs', 'sdk-api.md');

/** The comment before a declaration, as text; code in it (indented) keeps its lines. */
function comment(node) {
  const [doc] = node.jsDoc ?? [];
  if (doc === undefined) return '';
  const raw = doc.getText().replace(/^\/\*\*|\*\/$/g, '');
  const lines = raw.split('\n').map((line) => line.replace(/^\s*\* ?/, ''));
  return links(lines.join('\n').trim());
}

function links(text) {
  return text.replace(/\{@link (\w+)\}/g, '`$1`');
}

function cell(text) {
  return text.replace(/\s*\n\s*/g, ' ').replaceAll('|', '\\|').trim();
}

function memberRow(member) {
  const doc = comment(member);
  const signature = member.getText().replace(/^\/\*\*[^]*?\*\/\s*/, '').replace(/;$/, '').replace(/^readonly /, '');
  return `| \`${cell(signature)}\` | ${cell(doc)} |`;
}

function describe(node, out) {
  const name = node.name?.text;
  const doc = comment(node);
  if (ts.isInterfaceDeclaration(node)) {
    out.push(`### ${name}`, '', ...(doc === '' ? [] : [doc, '']));
    const extended = node.heritageClauses?.map((clause) => clause.getText()).join(' ') ?? '';
    if (extended !== '') out.push(`\`${extended}\``, '');
    if (node.members.length > 0) out.push('| member | |', '| --- | --- |', ...node.members.map(memberRow), '');
  } else if (ts.isTypeAliasDeclaration(node)) {
    out.push(`### ${name}`, '', ...(doc === '' ? [] : [doc, '']), '```ts', node.getText().replace(/^\/\*\*[^]*?\*\/\s*/, '').replace(/^export /, ''), '```', '');
  }
}

/** One of codes.ts's tables: name, number, text. */
function table(node, out) {
  const [declaration] = node.declarationList.declarations;
  let value = declaration.initializer;
  while (ts.isAsExpression(value)) value = value.expression;
  if (!ts.isObjectLiteralExpression(value) || declaration.name.text === 'causeTexts') return;
  out.push(`### ${declaration.name.text}`, '', comment(node), '', '| name | number | |', '| --- | --- | --- |');
  for (const member of value.properties) out.push(`| \`${member.name.text}\` | ${member.initializer.getText()} | ${cell(comment(member) || (declaration.name.text === 'causeNumbers' ? texts.get(member.name.text) : ''))} |`);
  out.push('');
}

const texts = new Map();

function source(file) {
  return ts.createSourceFile(file, readFileSync(join(root, 'src', file), 'utf8'), ts.ScriptTarget.ES2022, true);
}

function make() {
  const out = [
    '# The TypeScript SDK, name by name',
    '',
    'Made of `sdk/js/src/types.ts` and `codes.ts` by `node sdk/js/docs.mjs`; the guide is [sdk.md](sdk.md). All times are milliseconds.',
    '',
    '## Types',
    '',
  ];
  ts.forEachChild(source('types.ts'), (node) => describe(node, out));
  const codes = source('codes.ts');
  ts.forEachChild(codes, (node) => {
    const declaration = ts.isVariableStatement(node) ? node.declarationList.declarations[0] : undefined;
    if (declaration?.name.text === 'causeTexts')
      for (const { name, initializer } of declaration.initializer.properties) texts.set(name.text, initializer.text);
  });
  out.push('## Codes', '');
  ts.forEachChild(codes, (node) => {
    if (ts.isVariableStatement(node)) table(node, out);
  });
  return out.join('\n').trimEnd() + '\n';
}

const made = make();
if (!process.argv.includes('--check')) {
  writeFileSync(page, made);
} else if (readFileSync(page, 'utf8') !== made) {
  console.error('docs/sdk-api.md is not what src/types.ts and src/codes.ts say: run `node sdk/js/docs.mjs`');
  process.exit(1);
}
