/**
 * typedoc.config.mjs - the documentation of every name that the package exports, as pages, of the comments in src/.
 *   npm run docs                        writes it to sdk/js/api/, which git ignores; begin at api/index.html
 *   npm run docs -- --emit none         only looks: what test/docs.test.ts does
 * What is exported and says nothing about itself fails, as does a link that leads nowhere.
 */
import { existsSync, readFileSync } from 'node:fs';
import { OptionDefaults } from 'typedoc';

const { exports: points } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));

/** The source of what an entry point of package.json gives to `import`, so that a new entry point is documented, or fails, without being named here. */
function sourceOf(types) {
  const name = types.replace(/^\.\/dist\/esm\/types\//, 'src/').replace(/\.d\.ts$/, '');
  return existsSync(new URL(`${name}.ts`, import.meta.url)) ? `${name}.ts` : `${name}.tsx`;
}

export default {
  entryPoints: Object.values(points).flatMap((point) => (point.import?.types === undefined ? [] : [sourceOf(point.import.types)])),
  name: 'holdfast-client',
  includeVersion: true,
  out: 'api',
  readme: 'README.md',
  disableGit: true,
  disableSources: true,
  githubPages: false,
  excludePrivate: true,
  excludeProtected: true,
  excludeInternal: true,
  // tsc looks for errors, in `npm run check` and in the tests.
  skipErrorChecking: true,
  sort: ['source-order'],
  // What the small file for pages leaves out (small.mjs).
  blockTags: [...OptionDefaults.blockTags, '@only'],
  excludeTags: [...OptionDefaults.excludeTags, '@only'],
  treatWarningsAsErrors: true,
  validation: { notExported: true, invalidLink: true, rewrittenLink: true, notDocumented: true },
  intentionallyNotDocumented: [
    // Members of objects whose own comment says what they are.
    'index.OutboxStore.load.__type.state',
    'index.OutboxStore.load.__type.publishes',
    'index.ClientEvents.caughtUp.__type.messages',
    'index.Storage.heartbeat.__type.load',
    'index.Storage.heartbeat.__type.save',
  ],
};
