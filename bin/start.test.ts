/** `npm start` as a person or a service manager uses it. Needs what `npm test` builds. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

describe('npm start', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'millrace-start-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const ways: [NodeJS.Signals, string, (child: ChildProcess) => number][] = [
    ['SIGINT', 'npm alone', (child) => child.pid!],
    ['SIGINT', 'the whole group, as Ctrl-C does', (child) => -child.pid!],
    ['SIGTERM', 'npm alone, as service managers do', (child) => child.pid!],
  ];

  it.each(ways)('drains and exits 0 when %s is sent to %s', async (signal, _, target) => {
    const start = run('npm', ['start'], { DATA_DIR: dir, HOST: '127.0.0.1', PORT: '0', LOG_FORMAT: 'json' });
    await start.printed('Millrace is ready');
    process.kill(target(start.child), signal);
    expect(await start.code).toBe(0);
    expect(start.output().match(/finishing what is running/g)).toHaveLength(1);
    expect(start.output()).toContain('"stopped"');
    expect(() => process.kill(-start.child.pid!, 0)).toThrow('ESRCH'); // nobody is left of the group
  });

  it('says in one line what to type when FFmpeg is missing and may not be installed', async () => {
    await symlink(process.execPath, join(dir, 'node'));
    const start = run(process.execPath, ['bin/start.mjs'], { PATH: dir, DATA_DIR: dir, PORT: '0' });
    expect(await start.code).toBe(1);
    expect(start.output()).toMatch(/^FFmpeg is missing\. .*FFMPEG_PATH.*\n$/);
  });

  it('names a program that was configured and is not there', async () => {
    const start = run(process.execPath, ['bin/start.mjs'], { FFMPEG_PATH: '/nowhere/ffmpeg', DATA_DIR: dir });
    expect(await start.code).toBe(1);
    expect(start.output()).toContain('FFMPEG_PATH is /nowhere/ffmpeg');
  });
});

describe('npm run key', () => {
  it('says where it looked for a database that is not there', async () => {
    const DATA_DIR = join(tmpdir(), 'millrace-is-not-here');
    const key = run('npm', ['run', '--silent', 'key', '--', 'list'], { DATA_DIR });
    expect(await key.code).toBe(1);
    expect(key.output()).toContain(`there is no ${join(DATA_DIR, 'millrace.db')} yet`);
  });
});

function run(program: string, args: string[], env: Record<string, string>) {
  const inherited = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
  const child = spawn(program, args, { cwd: ROOT, env: { ...inherited, ...env }, detached: true });
  let output = '';
  const listeners = new Set<() => void>();
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
    for (const listener of listeners) listener();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const code = new Promise<number | null>((resolve) => child.on('close', resolve));
  /** Resolves when `text` was printed; fails when it ends before. */
  const printed = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (output.includes(text)) resolve();
      };
      listeners.add(look);
      look();
      void code.then((ended) => reject(new Error(`it ended with ${ended}:\n${output}`)));
    });
  return { child, code, printed, output: () => output };
}
