/** The lock file installs anywhere: from any registry, on any platform. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Locked {
  version?: string;
  resolved?: string;
  optionalDependencies?: Record<string, string>;
}
const { packages } = JSON.parse(readFileSync(join(import.meta.dirname, '../package-lock.json'), 'utf8')) as {
  packages: Record<string, Locked>;
};

describe('package-lock.json', () => {
  it('names no registry', () => {
    expect(Object.keys(packages).filter((path) => packages[path]!.resolved)).toEqual([]);
  });

  it('has the binaries of every platform, not only of the one it was made on', () => {
    const lost = Object.entries(packages).flatMap(([path, { optionalDependencies }]) =>
      Object.keys(optionalDependencies ?? {}).filter(
        (name) => !packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`],
      ),
    );
    expect(lost).toEqual([]);
  });
});
