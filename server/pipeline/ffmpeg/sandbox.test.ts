import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../config.ts';
import { processesWith } from '../../../test/processes.ts';
import { eventually } from '../../../test/server.ts';
import { confine, detectConfinement, type Confinement, type View } from './sandbox.ts';
import { spawnTool } from './spawn.ts';

const isRoot = process.getuid?.() === 0;
const detect = (sandbox: 'off' | 'auto') =>
  detectConfinement({ ...loadConfig({ WORKER_CONCURRENCY: '2' }).encoding, sandbox });

/** What a shell says behind the walls. */
async function says(confinement: Confinement, script: string, view: Partial<View> = {}): Promise<string> {
  const args = (source: string): string[] => ['-c', script, 'sh', source];
  const command = await confine(confinement, 'sh', args, { wallMs: 20_000, ...view });
  return (await spawnTool(command, { wallMs: 20_000 })).stdout;
}

let dir: string;
beforeEach(async () => (dir = await mkdtemp(join(tmpdir(), 'millrace-sandbox-'))));
afterEach(() => rm(dir, { recursive: true }));

describe.each(['off', 'auto'] as const)('sandbox %s', (sandbox) => {
  let confinement: Confinement;
  beforeAll(async () => (confinement = await detect(sandbox)));

  it('bounds memory, files, core dumps and processor time', async () => {
    if (!confinement.limits.length) return; // there is no prlimit
    const limits = await says(confinement, 'prlimit --noheadings --raw -o RESOURCE,SOFT,HARD', {
      fileSize: 12_345_678,
      wallMs: 7_000,
    });
    const of = (name: string): string[] => new RegExp(`^${name} (\\S+) (\\S+)`, 'm').exec(limits)!.slice(1);
    expect(of('FSIZE')).toEqual(['12345678', '12345678']);
    expect(of('CORE')).toEqual(['0', '0']);
    expect(of('AS')[0]).toBe(String(loadConfig({}).encoding.memoryLimit));
    const [soft, hard] = of('CPU').map(Number);
    expect(soft! % 7).toBe(0); // 7 s on each processor
    expect(hard).toBe(soft! + 10);
  });

  it('is what the kernel kills first where memory runs out, and not the server', async () => {
    if (!confinement.expendable.length) return; // there is no choom
    const marker = `2.${String(Date.now()).slice(-6)}`;
    const run = says(confinement, `sleep ${marker}; echo slept`);
    const pid = await eventually(async () => (await processesWith(`sleep\0${marker}`))[0]);
    expect(await readFile(`/proc/${pid}/oom_score_adj`, 'utf8')).toBe('1000\n');
    expect(await run).toBe('slept');
  });

  it.each([
    { view: {}, nice: 10, session: 10 },
    { view: { background: true }, nice: 19, session: 19 },
    { view: { prompt: true }, nice: 10, session: 0 },
  ])('yields to requests, also from a session of its own: $view', async ({ view, nice, session }) => {
    if (!confinement.nice.length || !existsSync('/proc/self/autogroup')) return; // not on this kernel
    const marker = `3.${String(Date.now()).slice(-6)}`;
    const run = says(confinement, `sleep ${marker}; echo slept`, view);
    const pid = await eventually(async () => (await processesWith(`sleep\0${marker}`))[0]);
    await eventually(async () =>
      (await readFile(`/proc/${pid}/autogroup`, 'utf8')).endsWith(`nice ${session}\n`),
    );
    expect(getPriority(pid)).toBe(nice);
    expect(await run).toBe('slept');
  });

  it('ends what uses more processor time than it may', async () => {
    if (!confinement.limits.length) return;
    const limits = [...confinement.limits, '--nofile=64'];
    const short = await confine({ ...confinement, limits }, 'sh', () => ['-c', 'while :; do :; done'], {
      wallMs: 1, // one second in all
    });
    const run = spawnTool(short, { wallMs: 60_000 });
    await expect(run).rejects.toMatchObject({
      exitStatus: expect.stringMatching(/^(SIGXCPU|exit 152)$/) as string,
    });
  });
});

it('bounds threads behind bubblewrap, where they can be counted by themselves', async () => {
  const found = await detect('auto');
  if (found.kind !== 'bwrap' || !found.processes.length) return;
  const few = { ...found, processes: ['prlimit', '--nproc=6'] };
  const forks = 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2 & done; wait; echo all';
  await expect(says(few, forks)).rejects.toMatchObject({ log: expect.stringContaining('fork') as string });
  expect(await says(found, forks)).toBe('all');
});

describe('root without bubblewrap', () => {
  const script = 'id -u; cat "$1"; echo written > out/a; cat out/a';
  async function view(): Promise<Partial<View>> {
    const scratch = join(dir, 'scratch');
    await mkdir(join(scratch, 'out'), { recursive: true });
    const source = join(dir, 'source');
    await writeFile(source, 'bytes\n', { mode: 0o644 });
    return { source, scratch };
  }

  it('becomes nobody, who can read the source and write the scratch folder', async () => {
    if (!isRoot) return;
    await chmod(dir, 0o755);
    const paths = await view();
    expect(await says(await detect('off'), script, paths)).toBe('65534\nbytes\nwritten');
    expect((await stat(join(paths.scratch!, 'out', 'a'))).uid).toBe(65_534);
    await expect(says(await detect('off'), 'cat /etc/shadow')).rejects.toMatchObject({ end: 'exit' });
  });

  it('bounds the processes of nobody, and none of them outlives the run', async () => {
    const found = await detect('off');
    if (!isRoot || !found.yields || !found.together.length) return;
    await chmod(dir, 0o755);
    const paths = await view();
    const limit = Number(await says(found, 'prlimit --nproc --noheadings --raw -o SOFT', paths));
    expect(limit).toBeGreaterThan(1_000);
    expect(limit).toBeLessThan(20_000);
    const forks = 'for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2 & done; wait; echo all';
    const few = { ...found, processes: ['prlimit', '--nproc=1'] };
    await expect(says(few, forks, paths)).rejects.toMatchObject({
      log: expect.stringContaining('fork') as string,
    });
    const marker = `4${String(Date.now()).slice(-6)}`;
    expect(await says(found, `setsid sleep ${marker} > /dev/null 2>&1 & echo gone`, paths)).toBe('gone');
    expect(await processesWith(`sleep\0${marker}`)).toEqual([]);
  });

  it.each(['folder', 'source'])('stays root where nobody can not read the %s', async (closed) => {
    if (!isRoot) return;
    const paths = await view();
    await chmod(closed === 'folder' ? dir : paths.source!, closed === 'folder' ? 0o700 : 0o600);
    if (closed === 'source') await chmod(dir, 0o755);
    expect(await says(await detect('off'), script, paths)).toBe('0\nbytes\nwritten');
  });
});
