/**
 * small.mjs - what makes the small file for pages out of the same sources (dist/holdfast.core.min.js), as a plugin of esbuild:
 *   has.…     the features of src/features.ts are false, and what they guard is left out;
 *   @only …   a member that names such a feature in its comment is left out;
 *   fields    that are set by the constructor only are not declared;
 *   closeCodes.… are their numbers;
 *   assert()  is left out: the whole library's tests look whether its invariants hold;
 *   texts     of three words or more are cut down to the name that they begin with, if they begin with one: the error's code and docs/sdk.md "Errors" say the rest;
 *   names     of members of our own classes begin with $ where the same name is public elsewhere, so that they can be shortened too.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transform } from 'esbuild';
import ts from 'typescript';
import { makeProgram } from './mangle.mjs';

/** How many words make a sentence: names, shapes of messages and short labels have fewer. */
const sentence = /(?:[\w'"“”,;:.–…()-]+ ){2,}/;
/** `"name"` or `"${name}"` at the beginning. */
const leadingName = /^"[^" ]+"/;
/** The shapes of messages in JSON. */
const table = /\b[a-zA-Z]+[?!|/]?:[a-zA-Z]\b/;

const codes = readFileSync(new URL('src/codes.ts', import.meta.url), 'utf8');
const closeCodes = new Map([...codes.slice(codes.indexOf('const closeCodes')).matchAll(/^ {2}(\w+): (\d{4}),/gm)].map(([, name, code]) => [name, code]));

/** What a text is cut down to; null: it stays. */
function shortened(node, source) {
  const text = node.getText(source);
  const body = text.slice(1, -1);
  if (!sentence.test(body) || table.test(body)) return null;
  const [name = ''] = leadingName.exec(body) ?? [];
  return text[0] + name + text[0];
}

function closeCodeOf(node) {
  if (!ts.isPropertyAccessExpression(node) || !ts.isIdentifier(node.expression) || node.expression.text !== 'closeCodes') return undefined;
  return closeCodes.get(node.name.text);
}

function isText(node) {
  return ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node) || ts.isTemplateExpression(node);
}

function isMember(node) {
  return ts.isClassElement(node) || ts.isPropertyAssignment(node);
}

function isAssert(node) {
  return ts.isExpressionStatement(node) && ts.isCallExpression(node.expression) && node.expression.expression.getText() === 'assert';
}

/** What is left of the evidence of an end whose text was cut: the default says as much. */
function isEmptyEvidence(node, source) {
  return ts.isPropertyAssignment(node) && node.name.getText(source) === 'evidence' && isText(node.initializer) && shortened(node.initializer, source)?.length === 2;
}

/** Whether a member belongs to a class that nobody outside sees, by no interface and by no inheritance. */
export function isOurs(declaration, folder) {
  const owner = declaration.parent;
  if (declaration.kind === ts.SyntaxKind.Parameter || !ts.isClassElement(declaration) || !ts.isClassDeclaration(owner)) return false;
  if (!/^(core|client|driver\.ts|tokens\.ts)/.test(declaration.getSourceFile().fileName.slice(folder.length))) return false;
  return !(owner.heritageClauses ?? []).some(({ token }) => token === ts.SyntaxKind.ImplementsKeyword);
}

/** The text of a source file of the program, made smaller. `free`: names that are shortened anyway. */
function smaller(source, checker, folder, free, kept) {
  let { text } = source;
  const isTable = source.fileName.endsWith('codec_binary.ts'); // Its texts are the wire's.
  const edits = [];
  const replace = (node, by, more = 0) => void edits.push([node.getStart(source), node.getEnd() + more, by]);
  // A member of an object goes with the comma behind it.
  const drop = (node) => replace(node, '', ts.isPropertyAssignment(node) && text[node.getEnd()] === ',' ? 1 : 0);
  const rename = (node) => {
    const { parent } = node;
    const isBinding = ts.isBindingElement(parent) && (parent.propertyName ?? parent.name) === node;
    const isName = (ts.isPropertyAccessExpression(parent) || ts.isClassElement(parent)) && parent.name === node;
    if (free.test(node.text) || !(isName || isBinding)) return;
    const symbol = isBinding ? checker.getTypeAtLocation(parent.parent).getProperty(node.text) : checker.getSymbolAtLocation(node);
    const declarations = symbol?.declarations ?? [];
    if (declarations.length === 0 || !declarations.every((each) => isOurs(each, folder))) return;
    replace(node, isBinding && parent.propertyName === undefined ? `$${node.text}: ${node.text}` : `$${node.text}`);
  };
  const isLeftOut = ({ tagName, comment }) => tagName.text === 'only' && !kept.includes(ts.getTextOfJSDocComment(comment)?.trim());
  const visit = (node) => {
    if (ts.isImportDeclaration(node) || ts.isTypeNode(node)) return;
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'has') return replace(node, String(kept.includes(node.name.text)));
    if (isMember(node) && ts.getJSDocTags(node).some(isLeftOut)) return drop(node);
    if (ts.isPropertyDeclaration(node) && node.initializer === undefined) return replace(node, '');
    if (isAssert(node)) return replace(node, ';');
    if (isEmptyEvidence(node, source)) return drop(node);
    const closeCode = closeCodeOf(node);
    if (closeCode !== undefined) return replace(node, closeCode);
    if (isText(node) && !isTable) {
      const short = shortened(node, source);
      if (short !== null) return replace(node, short);
    }
    if (ts.isIdentifier(node)) rename(node);
    ts.forEachChild(node, visit);
  };
  visit(source);
  for (const [from, to, by] of edits.reverse()) text = text.slice(0, from) + by + text.slice(to);
  return text;
}

/** The plugin, and the regular expression of the names to shorten. `kept`: features that it has all the same. */
export function small(root, mangled, kept = []) {
  const program = makeProgram(root);
  const checker = program.getTypeChecker();
  const folder = join(root, 'src') + '/';
  const plugin = {
    name: 'small',
    setup({ onLoad }) {
      // Each file is folded before its imports are looked at: what only left-out code needs is left out, too.
      onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, async ({ path }) => {
        const text = smaller(program.getSourceFile(path), checker, folder, mangled, kept);
        const { code } = await transform(text, { loader: 'ts', target: 'es2022', minifySyntax: true, sourcefile: path, sourcemap: 'inline' });
        return { contents: code, loader: 'js' };
      });
    },
  };
  return { plugin, mangled: new RegExp(`${mangled.source.slice(0, -2)}|\\$[a-zA-Z]+)$`) };
}

/** The plugin for all other builds: the features are true, and asked for nowhere. */
export const whole = {
  name: 'whole',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => ({ contents: readFileSync(path, 'utf8').replace(/\bhas\.\w+/g, 'true'), loader: 'ts' }));
  },
};
