/** Damages files, the same way for the same seed: by zzuf where it is installed, else by a mutator of ours. */
import { execa } from 'execa';
import { readFile } from 'node:fs/promises';

export type Mutator = 'zzuf' | 'built in';

export async function findMutator(): Promise<Mutator> {
  const { failed } = await execa('zzuf', ['--version'], { reject: false, stdio: 'ignore' });
  return failed ? 'built in' : 'zzuf';
}

/** Part of the bits that are flipped, from a handful to a hundredth. */
const RATIOS = [0.00002, 0.0001, 0.0005, 0.002, 0.01];

/** The bytes of `path`, damaged; `seed` decides how much and where. */
export async function mutate(mutator: Mutator, path: string, seed: number): Promise<Buffer> {
  const ratio = RATIOS[seed % RATIOS.length]!;
  if (mutator === 'built in') return flip(await readFile(path), ratio, seed);
  const args = ['-s', String(seed), '-r', String(ratio), 'cat', path];
  const { stdout } = await execa('zzuf', args, { encoding: 'buffer', env: { LC_ALL: 'C' } });
  return Buffer.from(stdout);
}

function flip(bytes: Buffer, ratio: number, seed: number): Buffer {
  let state = (seed * 2_654_435_761 + 1) >>> 0 || 1;
  const random = (below: number): number => {
    // xorshift32 (Marsaglia, 2003)
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % below;
  };
  for (let left = Math.max(1, Math.round(bytes.length * 8 * ratio)); left > 0; left--)
    bytes[random(bytes.length)]! ^= 1 << random(8);
  return bytes;
}
