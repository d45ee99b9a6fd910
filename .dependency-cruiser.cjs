/** Who may import whom: the drawing in docs/architecture.md, enforced by `npm run lint` and test/imports.test.ts. */

/** Files that everything may import and that import nothing of server/ but each other. */
const BASE = [
  'server/machine/[^/]+\\.ts',
  'server/(errors|ids|holder|telemetry|config|encoding-config|stream-config|upload-config|settings)\\.ts',
];
const TESTS = '(\\.test\\.ts$|/testing/|^test/|^bench/)';

/** Each folder of server/, and what of server/ it may import besides the base and itself. */
const MAY_IMPORT = {
  machine: [],
  hls: [],
  storage: ['server/hls/'],
  auth: ['server/hls/'],
  events: ['server/hls/'],
  jobs: ['server/hls/', 'server/events/'],
  media: ['server/hls/', 'server/jobs/', 'server/events/'],
  providers: ['server/media/', 'server/jobs/', 'server/events/', 'server/storage/', 'server/auth/'],
  pipeline: [
    ...['server/hls/', 'server/media/', 'server/jobs/', 'server/events/', 'server/storage/'],
    'server/providers/index\\.ts',
  ],
  uploads: ['server/storage/', 'server/events/', 'server/auth/'],
  hooks: [
    ...[
      'server/uploads/',
      'server/media/',
      'server/auth/',
      'server/storage/',
      'server/jobs/',
      'server/events/',
    ],
    'server/pipeline/index\\.ts',
  ],
  http: [
    ...[
      'server/hls/',
      'server/media/',
      'server/auth/',
      'server/events/',
      'server/jobs/',
      'server/storage/',
      'server/uploads/',
    ],
    'server/pipeline/index\\.ts',
    'server/providers/index\\.ts',
  ],
};

const folderRules = Object.entries(MAY_IMPORT).map(([folder, allowed]) => ({
  name: `what-${folder}-may-import`,
  severity: 'error',
  from: { path: `^server/${folder}/`, pathNot: TESTS },
  to: {
    path: '^(server|public|bin)/',
    pathNot: [...BASE, `server/${folder}/`, ...allowed, 'server/(context|readiness)\\.ts'].map(
      (p) => `^${p}`,
    ),
  },
}));

module.exports = {
  forbidden: [
    ...folderRules,
    {
      name: 'folders-are-listed',
      comment: 'A new folder of server/ gets its line in MAY_IMPORT first.',
      severity: 'error',
      from: { path: '^server/[^/]+/', pathNot: `^server/(${Object.keys(MAY_IMPORT).join('|')})/` },
      to: {},
    },
    {
      name: 'context-is-a-type',
      comment: 'The context is handed down; only its type may be imported.',
      severity: 'error',
      from: { path: '^server/[^/]+/', pathNot: TESTS },
      to: { path: '^server/(context|readiness)\\.ts$', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'base-stands-alone',
      severity: 'error',
      from: { path: BASE.map((p) => `^${p}$`), pathNot: TESTS },
      to: { path: '^(server|db)/', pathNot: BASE.map((p) => `^${p}$`) },
    },
    {
      name: 'db-knows-no-server',
      severity: 'error',
      from: { path: '^db/', pathNot: TESTS },
      to: { path: '^(server|public|bin)/' },
    },
    {
      name: 'pages-speak-http',
      comment: 'The pages know the server by its HTTP interface only.',
      severity: 'error',
      from: { path: '^public/', pathNot: TESTS },
      to: { path: '^(server|db)/' },
    },
    {
      name: 'no-tests-in-production',
      severity: 'error',
      from: { path: '^(server|db)/', pathNot: [TESTS, '/contract\\.ts$'] },
      to: { path: TESTS },
    },
    {
      name: 'no-dev-dependencies',
      comment: 'The image is installed with --omit=dev.',
      severity: 'error',
      from: { path: '^(server|db)/', pathNot: [TESTS, '/contract\\.ts$'] },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'imports-resolve',
      severity: 'error',
      from: { path: '^(server|db)/' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'unknown'], pathNot: '(^|/)@jest/' },
    },
    {
      name: 'no-cycles',
      comment: 'Types may refer to each other; code may not.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-orphans',
      comment: 'A file that nothing reaches.',
      severity: 'error',
      from: { orphan: true, path: '^(server|db)/', pathNot: ['^server/(main|cli)\\.ts$', TESTS] },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|data)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'types', 'default'],
    },
  },
};
