/**
 * mangle.mjs - which property names the built files may shorten: a third of what a page would load is names of our own that nobody outside ever sees.
 * A name may go if it is declared in our sources, and nothing else can mean it: it is not in the public interface (types.ts and what else index.ts gives), not on the wire (message.ts), no
 * property of the platform's that our sources use, and no text in them looks it up.
 */
import { join } from 'node:path';
import ts from 'typescript';

/** Whose members others see, by their paths below src. */
const visible = ['types.ts', 'codes.ts', 'errors.ts', 'core/message.ts', 'platform/websocket.ts', 'platform/system.ts', 'outbox_indexeddb.ts'];

/** Whose texts name members, several in one. */
const tables = ['core/codec_binary.ts', 'core/codec_json.ts'];

export function makeProgram(root) {
  const path = join(root, 'tsconfig.json');
  const { options, fileNames } = ts.parseJsonConfigFileContent(ts.readConfigFile(path, ts.sys.readFile).config, ts.sys, root);
  return ts.createProgram(fileNames, options);
}

/** Regular expression of the names. */
export function mangledProps(root) {
  const program = makeProgram(root);
  const checker = program.getTypeChecker();
  const folder = join(root, 'src') + '/';
  const ours = new Set();
  const taken = new Set(['constructor', 'prototype', 'toString', 'then']);

  let inTable = false;

  const visit = (node) => {
    const parent = node.parent;
    const isName =
      ts.isIdentifier(node) &&
      ((ts.isPropertyAccessExpression(parent) && parent.name === node) ||
        (ts.isBindingElement(parent) && (parent.propertyName ?? parent.name) === node) ||
        ((ts.isClassElement(parent) || ts.isTypeElement(parent) || ts.isObjectLiteralElementLike(parent)) && parent.name === node) ||
        (ts.isParameter(parent) && parent.name === node && ts.isParameterPropertyDeclaration(parent, parent.parent)));
    if (isName) sort(node);
    if (ts.isStringLiteralLike(node) && inTable) for (const word of node.text.match(/\w+/g) ?? []) taken.add(word);
    for (const key of keysOf(node)) taken.add(key);
    ts.forEachChild(node, visit);
  };
  /** The texts that look a property up, as far as the compiler knows them: `members['x']`, `'x' in members`, `table[code]`, and quoted names. */
  const keysOf = (node) => {
    if (ts.isElementAccessExpression(node)) return textsOf(checker.getTypeAtLocation(node.argumentExpression));
    if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.InKeyword) return textsOf(checker.getTypeAtLocation(node.left));
    return ts.isStringLiteralLike(node) && ts.isPropertyName(node) && node.parent.name === node ? [node.text] : [];
  };
  const textsOf = (type) => (type.isUnion() ? type.types : [type]).flatMap((each) => (each.isStringLiteral() ? [each.value] : []));
  /** Where the property is declared decides. What cannot be found is not ours. */
  const sort = (node) => {
    let symbol = checker.getSymbolAtLocation(node);
    if (symbol !== undefined && ts.isBindingElement(node.parent) && node.parent.propertyName === undefined) {
      symbol = checker.getTypeAtLocation(node.parent.parent).getProperty(node.text);
    }
    const declarations = [...(symbol?.declarations ?? []), ...wantedBy(node)];
    const foreign = declarations.length === 0 || declarations.some(isForeign);
    (foreign ? taken : ours).add(node.text);
  };
  /** A literal's own symbol says nothing of whom it is for: `{ done: false, value }` is an iterator's result. */
  const wantedBy = ({ parent, text }) => {
    // So with a class that implements what is not ours.
    if (ts.isClassElement(parent))
      return (parent.parent.heritageClauses ?? []).flatMap(({ types }) => types.flatMap((each) => checker.getTypeAtLocation(each).getProperty(text)?.declarations ?? []));
    if (!ts.isObjectLiteralElementLike(parent)) return [];
    const type = checker.getContextualType(parent.parent);
    const types = type === undefined ? [] : type.isUnion() ? type.types : [type];
    return types.flatMap((each) => each.getProperty(text)?.declarations ?? []);
  };
  const isForeign = (declaration) => {
    const { fileName } = declaration.getSourceFile();
    return !fileName.startsWith(folder) || visible.includes(fileName.slice(folder.length));
  };

  for (const file of program.getSourceFiles()) {
    // What is an entry point of its own is not in the built file.
    if (!file.fileName.startsWith(folder) || /^(shared|pool)\//.test(file.fileName.slice(folder.length))) continue;
    inTable = tables.includes(file.fileName.slice(folder.length));
    visit(file);
    // A class that implements a visible interface, or an object that becomes one, has its names.
    if (visible.includes(file.fileName.slice(folder.length)))
      ts.forEachChild(file, function all(node) {
        if ((ts.isTypeElement(node) || ts.isClassElement(node) || ts.isPropertyAssignment(node)) && node.name && ts.isIdentifier(node.name)) taken.add(node.name.text);
        ts.forEachChild(node, all);
      });
  }
  const names = [...ours].filter((name) => !taken.has(name));
  return new RegExp(`^(?:${names.sort().join('|')})$`);
}
