/**
 * shorten.mjs - which short names stand for the long ones that mangle.mjs allows to go. Two names may share one where nothing has both, as registers are shared: then there are few short names, each of which
 * comes often, and a compressor has less to tell apart.
 * Two names are kept apart where some type has both: one that is declared, one that an expression has, or that one is wanted for (its contextual type), the members of a union taken together. A name that may be
 * missing (`name?:`) is kept apart from all: an object that has not got it may have any other.
 */
import ts from 'typescript';
import { makeProgram } from './mangle.mjs';

const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** All short names, the shortest first. */
function* shortNames() {
  for (const a of letters) yield a;
  for (const a of letters) for (const b of letters) yield a + b;
}

/** The names that a type's objects have, of those that may go. `nameOf` gives a symbol's, or undefined. */
function namesOf(type, checker, nameOf, optional) {
  const parts = type.isUnionOrIntersection() ? type.types : [type];
  return parts.flatMap((part) =>
    checker.getPropertiesOfType(part).flatMap((symbol) => {
      const name = nameOf(symbol);
      if (name === undefined) return [];
      if (symbol.flags & ts.SymbolFlags.Optional) optional.add(name);
      return [name];
    }),
  );
}

/**
 * The short name of each long one, as esbuild's mangleCache wants it. names: regular expression of those that may go; renamed: whether a declaration's name goes with a $ before it (small.mjs).
 */
export function shortNamesOf(root, names, renamed = () => false) {
  const program = makeProgram(root);
  const checker = program.getTypeChecker();
  const folder = `${root}/src/`;
  const nameOf = (symbol) => {
    const [declaration] = symbol.declarations ?? [];
    if (names.test(symbol.name)) return symbol.name;
    return declaration !== undefined && renamed(declaration) ? `$${symbol.name}` : undefined;
  };
  const counts = new Map();
  const apart = new Map();
  const optional = new Set();
  const seen = new Set();
  const look = (type) => {
    if (type === undefined || seen.has(type)) return;
    seen.add(type);
    const all = new Set(namesOf(type, checker, nameOf, optional));
    for (const one of all) {
      const others = apart.get(one) ?? new Set();
      apart.set(one, others);
      for (const other of all) if (other !== one) others.add(other);
    }
  };
  const taken = new Set();
  const visit = (node) => {
    if (ts.isIdentifier(node) || ts.isStringLiteralLike(node)) taken.add(node.text);
    if (ts.isClassLike(node) || ts.isInterfaceDeclaration(node) || ts.isTypeLiteralNode(node) || ts.isParameter(node) || ts.isVariableDeclaration(node)) look(checker.getTypeAtLocation(node));
    if (ts.isExpression(node)) {
      look(checker.getTypeAtLocation(node));
      if (ts.isObjectLiteralExpression(node)) look(checker.getContextualType(node));
    }
    if (ts.isIdentifier(node)) {
      const symbol = checker.getSymbolAtLocation(node);
      const name = symbol === undefined ? undefined : nameOf(symbol);
      if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    ts.forEachChild(node, visit);
  };
  for (const file of program.getSourceFiles())
    if (file.fileName.startsWith(folder) && !/^(shared|pool)\//.test(file.fileName.slice(folder.length))) visit(file);
  const cache = {};
  const used = new Map();
  const byCount = [...apart.keys()].sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0) || (a < b ? -1 : 1));
  for (const name of byCount) {
    const others = apart.get(name);
    const isFree = (short) => {
      for (const other of used.get(short) ?? []) if (others.has(other) || optional.has(name) || optional.has(other)) return false;
      return !taken.has(short);
    };
    for (const short of shortNames()) {
      if (!isFree(short)) continue;
      used.set(short, [...(used.get(short) ?? []), name]);
      cache[name] = short;
      break;
    }
  }
  return cache;
}
