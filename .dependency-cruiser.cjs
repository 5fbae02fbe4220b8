/**
 * The house's import table as rules: a room may import the rooms of its row, and nothing else. Packages and Node
 * modules of the pure rooms are listed too, so that IO cannot creep inward.
 */
const rooms = {
  core: [],
  codec: ['core'],
  wire: ['core'],
  tpm: ['core', 'codec'],
  eventlog: ['core', 'codec', 'tpm'],
  attest: ['core', 'codec', 'wire', 'tpm', 'eventlog'],
  ca: ['core', 'codec', 'tpm'],
  device: ['core', 'codec', 'tpm'],
  vtpm: ['core', 'codec', 'tpm', 'wire', 'ca', 'device'],
  agent: ['core', 'codec', 'tpm', 'wire', 'eventlog', 'ca', 'device'],
  // Types of attest and ca only: checked by the rule below.
  store: ['core', 'attest', 'ca'],
  server: ['core', 'codec', 'tpm', 'wire', 'eventlog', 'attest', 'ca', 'store'],
}
const pure = ['core', 'codec', 'wire', 'tpm', 'eventlog', 'attest', 'ca']

const allowedRooms = Object.entries(rooms).map(([room, allowed]) => ({
  name: `room-${room}`,
  severity: 'error',
  comment: `src/${room} may import ${allowed.join(', ') || 'nothing of the house'}`,
  from: { path: `^src/${room}/` },
  to: {
    path: '^src/',
    pathNot: [room, ...allowed].map((name) => `^src/${name}/`).concat(room === 'attest' ? ['^src/ca/path/'] : []),
  },
}))

module.exports = {
  forbidden: [
    ...allowedRooms,
    {
      name: 'pure-node-modules',
      severity: 'error',
      comment: 'Pure rooms use node:crypto and node:buffer of Node, nothing that does IO.',
      from: { path: `^src/(?:${pure.join('|')})/` },
      to: { dependencyTypes: ['core'], pathNot: '^(?:node:)?(?:crypto|buffer)$' },
    },
    {
      name: 'pure-packages',
      severity: 'error',
      comment: 'Pure rooms use these packages and no others.',
      from: { path: `^src/(?:${pure.join('|')})/` },
      to: {
        path: 'node_modules/',
        pathNot: 'node_modules/(?:zod|yaml|jose|cbor-x|@marcbachmann/cel-js)/',
      },
    },
    {
      name: 'expressions-stay-in-one-place',
      severity: 'error',
      comment: 'The package that reads CEL is known to one folder: see docs/adr/0016-policy-expressions.md.',
      from: { path: '^src/', pathNot: '^src/attest/cel/' },
      to: { path: 'node_modules/@marcbachmann/' },
    },
    {
      name: 'store-takes-types',
      severity: 'error',
      comment: 'The store knows the shapes of attest and ca, never their judgement.',
      from: { path: '^src/store/' },
      to: { path: '^src/(?:attest|ca)/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'through-the-door',
      severity: 'error',
      comment:
        'Another room is entered through its index.ts. Other doors: ca/path, each folder of vtpm, and what keeps packages out of small processes.',
      from: { path: '^src/([^/]+)/' },
      to: {
        path: '^src/[^/]+/.+',
        pathNot: [
          '^src/$1/',
          '^src/[^/]+/index\\.ts$',
          '^src/ca/path/index\\.ts$',
          '^src/core/configuration\\.ts$',
          '^src/device/(?:swtpm-control|transport)\\.ts$',
          '^src/vtpm/(?:broker|guest|keys|lane)/index\\.ts$',
        ],
      },
    },
    {
      name: 'vtpm-doors',
      severity: 'error',
      comment: 'The parts of the broker know each other by their index.ts.',
      from: { path: '^src/vtpm/([^/]+)/' },
      to: { path: '^src/vtpm/[^/]+/.+', pathNot: ['^src/vtpm/$1/', '^src/vtpm/[^/]+/index\\.ts$'] },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: '^src/cli/main\\.ts$' },
      to: {},
    },
    {
      name: 'no-dev-packages-in-src',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    { name: 'not-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'src-imports-src',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(?:test|scripts|swtpm|bench)/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(?:node_modules|dist|\\.runtime)' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
}
