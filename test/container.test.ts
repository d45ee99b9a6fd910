/** What can be checked of the container files without an engine. */
import { DockerfileParser, type Instruction } from 'dockerfile-ast';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ENVIRONMENT, loadConfig } from '../server/config.ts';

const ROOT = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

describe('Dockerfile', () => {
  const dockerfile = DockerfileParser.parse(read('Dockerfile'));
  const instructions = dockerfile.getInstructions();
  const of = (keyword: string): Instruction[] =>
    instructions.filter((instruction) => instruction.getKeyword() === keyword);
  const argumentsOf = (keyword: string): string[] =>
    of(keyword).map((instruction) => instruction.getArgumentsContent() ?? '');
  /** JSON of an exec-form instruction; throws on shell form, which would put a shell between signals and us. */
  const exec = (keyword: string): string[] => JSON.parse(argumentsOf(keyword).at(-1)!) as string[];

  it('runs as a user with a fixed number that is not root', () => {
    const user = argumentsOf('USER').at(-1)!;
    expect(user).toMatch(/^[1-9]\d{3,}:[1-9]\d{3,}$/);
    const [uid, gid] = user.split(':');
    expect(argumentsOf('RUN').join()).toContain(`groupadd --gid ${gid!}`);
    expect(argumentsOf('RUN').join()).toContain(`useradd --uid ${uid!}`);
    expect(instructions.findIndex((i) => i.getKeyword() === 'USER')).toBeGreaterThan(
      instructions.findLastIndex((i) => i.getKeyword() === 'RUN'),
    );
  });

  it('starts from pinned images and stages that exist', () => {
    const stages = dockerfile.getFROMs().map((from) => from.getBuildStage());
    const args = Object.fromEntries(argumentsOf('ARG').map((arg) => arg.split('=') as [string, string]));
    for (const from of dockerfile.getFROMs()) {
      const image = from.getImage()!.replace(/\$\{(\w+)\}/, (_, name: string) => args[name]!);
      expect(image).toMatch(/^[\w./-]+:\d[\w.-]*$/);
    }
    const copied = dockerfile.getCOPYs().flatMap((copy) => copy.getFromFlag()?.getValue() ?? []);
    expect(copied.length).toBeGreaterThan(0);
    for (const stage of copied) expect(stages).toContain(stage);
  });

  it('copies only what exists and .dockerignore lets through', () => {
    const allowed = read('.dockerignore')
      .split('\n')
      .flatMap((line) => /^!(.+)$/.exec(line)?.[1] ?? []);
    const sources = dockerfile
      .getCOPYs()
      .filter((copy) => !copy.getFromFlag())
      .flatMap((copy) =>
        copy
          .getArguments()
          .slice(0, -1)
          .map((argument) => argument.getValue()),
      );
    expect(sources).toEqual(expect.arrayContaining(['package-lock.json', 'server', 'db', 'public']));
    for (const source of sources) {
      expect(existsSync(join(ROOT, source))).toBe(true);
      expect(allowed).toContain(source);
    }
  });

  it('is started, stopped and asked for its health without a shell', () => {
    expect(exec('ENTRYPOINT')[0]).toMatch(/tini$/);
    const [node, main] = exec('CMD');
    expect(node).toBe('node');
    expect(existsSync(join(ROOT, main!.replace('dist/', '').replace(/\.js$/, '.ts')))).toBe(true);
    expect(argumentsOf('STOPSIGNAL')).toEqual(['SIGTERM']);
    const health = /CMD (\[.*\])$/s.exec(argumentsOf('HEALTHCHECK')[0]!)![1]!;
    expect((JSON.parse(health) as string[]).join(' ')).toContain('/livez');
  });

  it('sets only variables that are read, to values that are right', () => {
    const pairs = argumentsOf('ENV').at(-1)!.split(/\s+/);
    const env = Object.fromEntries(pairs.map((pair) => pair.split(/=(.*)/s).slice(0, 2) as [string, string]));
    const unknown = Object.keys(env).filter((name) => !(name in ENVIRONMENT) && !name.startsWith('NODE_'));
    expect(unknown).toEqual([]);
    expect(argumentsOf('EXPOSE')).toEqual([env.PORT]);
    expect(argumentsOf('VOLUME')).toEqual([env.DATA_DIR]);
    expect(() => loadConfig(env)).not.toThrow();
  });

  it('leaves no package lists behind', () => {
    for (const run of argumentsOf('RUN').filter((text) => text.includes('apt-get install'))) {
      expect(run).toContain('--no-install-recommends');
      expect(run).toContain('rm -rf /var/lib/apt/lists/*');
    }
  });
});

interface Service {
  image?: string;
  build?: string;
  command?: string[];
  environment?: Record<string, string>;
  depends_on?: Record<string, { condition: string }>;
  volumes?: string[];
  healthcheck?: { test: string[] };
  stop_grace_period?: string;
  read_only?: boolean;
}
interface Compose {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
}

const OURS = /^millrace:/;

describe.each(['docker/compose.yml', 'docker/compose.scale.yml'])('%s', (file) => {
  const text = read(file);
  const compose = parse(text, { merge: true, strict: true, uniqueKeys: true }) as Compose;
  const services = Object.entries(compose.services);
  const ours = services.filter(([, service]) => OURS.test(service.image ?? ''));

  it('has only known keys at the top', () => {
    const keys = Object.keys(compose).filter((key) => !key.startsWith('x-'));
    expect(keys.sort()).toEqual(['name', 'services', 'volumes']);
  });

  it('pins every image', () => {
    for (const [, { image }] of services) {
      expect(image).toMatch(/:v?\d/);
      expect(image).not.toMatch(/latest/);
    }
  });

  it('waits only for services that exist and can say that they are healthy', () => {
    for (const [, { depends_on: waits = {} }] of services)
      for (const [name, { condition }] of Object.entries(waits)) {
        const target = compose.services[name]!;
        expect(target).toBeDefined();
        expect(condition).toBe('service_healthy');
        expect(target.healthcheck ?? OURS.test(target.image!)).toBeTruthy(); // the Dockerfile has ours
      }
  });

  it('mounts only volumes that are declared and files that exist', () => {
    const sources = services.flatMap(([, { volumes = [] }]) =>
      volumes.filter((volume) => volume.includes(':')).map((volume) => volume.split(':')[0]!),
    );
    const named = sources.filter((source) => !source.startsWith('.'));
    expect([...new Set(named)].sort()).toEqual(Object.keys(compose.volumes).sort());
    for (const source of sources.filter((s) => s.startsWith('.')))
      expect(existsSync(join(ROOT, 'docker', source))).toBe(true);
  });

  it('gives Millrace a configuration that it takes', () => {
    expect(ours.length).toBeGreaterThan(0);
    for (const [, { environment = {} }] of ours) {
      expect(Object.keys(environment).filter((name) => !(name in ENVIRONMENT))).toEqual([]);
      expect(() => loadConfig(interpolate(environment))).not.toThrow();
    }
  });

  it('lets Millrace drain before it is killed', () => {
    const grace = loadConfig({}).shutdownGraceMs;
    for (const [, service] of ours)
      expect(parseInt(service.stop_grace_period ?? '10', 10) * 1000).toBeGreaterThan(grace);
  });

  it('lets Millrace write nowhere but where it must', () => {
    for (const [, service] of ours) expect(service.read_only).toBe(true);
  });
});

describe('secrets of docker/compose.scale.yml', () => {
  const compose = read('docker/compose.scale.yml');
  const example = parseEnvFile(read('docker/scale.env.example'));

  it('are asked for, each by a name that the example lists, without a value', () => {
    const required = [...compose.matchAll(/\$\{(\w+):\?/g)].map((match) => match[1]!);
    expect(required).toEqual(
      expect.arrayContaining(['POSTGRES_PASSWORD', 'S3_SECRET_KEY', 'ADMIN_KEY', 'SESSION_SECRET']),
    );
    for (const name of required) expect(example[name]).toBe('');
  });

  it('have no default in the file', () => {
    const withDefault = [...compose.matchAll(/\$\{(\w+):-/g)].map((match) => match[1]!);
    expect(withDefault.filter((name) => /PASSWORD|SECRET|KEY|TOKEN/.test(name))).toEqual([]);
  });
});

/** `${NAME:?…}` becomes a value of a good shape, `${NAME:-default}` its default. */
function interpolate(environment: Record<string, string>): Record<string, string> {
  const given = (name: string): string =>
    name.endsWith('_URL') ? 'https://media.example.org' : '0123456789abcdef'.repeat(3);
  const value = (text: string): string =>
    text.replace(/\$\{(\w+):([-?])([^}]*)\}/g, (_, name: string, kind: string, fallback: string) =>
      kind === '-' ? fallback : given(name),
    );
  return Object.fromEntries(Object.entries(environment).map(([name, text]) => [name, value(text)]));
}

function parseEnvFile(text: string): Record<string, string> {
  const lines = [...text.matchAll(/^([A-Z]\w*)=(.*)$/gm)];
  return Object.fromEntries(lines.map((line) => [line[1]!, line[2]!]));
}
