/** The import rule of docs/architecture.md holds, and would be noticed if it did not. */
import { execa } from 'execa';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const CRUISER = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
const CONFIG = '.dependency-cruiser.cjs';

interface Outcome {
  modules: number;
  /** `rule: from -> to`, sorted. */
  violations: string[];
}

async function cruise(cwd: string, folders: string[]): Promise<Outcome> {
  const args = [CRUISER, '--config', CONFIG, '--output-type', 'json', ...folders];
  const { stdout } = await execa(process.execPath, args, { cwd, reject: false, maxBuffer: 64 << 20 });
  const { summary } = JSON.parse(stdout) as {
    summary: { totalCruised: number; violations: { rule: { name: string }; from: string; to: string }[] };
  };
  const violations = summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`).sort();
  return { modules: summary.totalCruised, violations };
}

describe('the import rule', () => {
  it('holds in this project', async () => {
    const { modules, violations } = await cruise(ROOT, ['db', 'server', 'public']);
    expect(violations).toEqual([]);
    expect(modules).toBeGreaterThan(30);
  });

  describe('in a project that breaks it', () => {
    let dir: string;

    beforeEach(async () => {
      dir = await mkdtemp(join(tmpdir(), 'millrace-imports-'));
      for (const file of [CONFIG, 'tsconfig.json', 'package.json'])
        await copyFile(join(ROOT, file), join(dir, file));
    });
    afterEach(() => rm(dir, { recursive: true, force: true }));

    const broken: [string, Record<string, string>, string][] = [
      [
        'a folder that reaches up',
        { 'server/storage/disk.ts': `import '../media/media.ts';`, 'server/media/media.ts': `export {};` },
        'what-storage-may-import: server/storage/disk.ts -> server/media/media.ts',
      ],
      [
        'a type that reaches up',
        {
          'server/storage/disk.ts': `import type { M } from '../media/media.ts'; export type N = M;`,
          'server/media/media.ts': `export type M = 1;`,
        },
        'what-storage-may-import: server/storage/disk.ts -> server/media/media.ts',
      ],
      [
        'the inside of the pipeline',
        {
          'server/http/media.ts': `import '../pipeline/runner.ts';`,
          'server/pipeline/runner.ts': `export {};`,
        },
        'what-http-may-import: server/http/media.ts -> server/pipeline/runner.ts',
      ],
      [
        'a base file that is not at the bottom',
        { 'server/errors.ts': `import './media/media.ts';`, 'server/media/media.ts': `export {};` },
        'base-stands-alone: server/errors.ts -> server/media/media.ts',
      ],
      [
        'a database that knows the server',
        { 'db/schema.ts': `import '../server/errors.ts';`, 'server/errors.ts': `export {};` },
        'db-knows-no-server: db/schema.ts -> server/errors.ts',
      ],
      [
        'a page that imports the server',
        { 'public/watch.ts': `import '../server/errors.ts';`, 'server/errors.ts': `export {};` },
        'pages-speak-http: public/watch.ts -> server/errors.ts',
      ],
      [
        'the context as a value',
        { 'server/jobs/queue.ts': `import '../context.ts';`, 'server/context.ts': `export {};` },
        'context-is-a-type: server/jobs/queue.ts -> server/context.ts',
      ],
      [
        'a folder nobody listed',
        { 'server/misc/all.ts': `import '../errors.ts';`, 'server/errors.ts': `export {};` },
        'folders-are-listed: server/misc/all.ts -> server/errors.ts',
      ],
      [
        'a cycle',
        { 'server/jobs/a.ts': `import './b.ts';`, 'server/jobs/b.ts': `import './a.ts';` },
        'no-cycles: server/jobs/a.ts -> server/jobs/b.ts',
      ],
      [
        'a file that nothing reaches',
        { 'server/jobs/lost.ts': `export {};` },
        'no-orphans: server/jobs/lost.ts -> server/jobs/lost.ts',
      ],
    ];

    it.each(broken)('finds %s', async (_, files, violation) => {
      for (const folder of ['db', 'server', 'public']) await mkdir(join(dir, folder));
      for (const [name, text] of Object.entries(files)) {
        await mkdir(join(dir, dirname(name)), { recursive: true });
        await writeFile(join(dir, name), text);
      }
      const { violations } = await cruise(dir, ['db', 'server', 'public']);
      expect(violations).toContain(violation);
    });
  });
});
