/** .env.example and server/config.ts name the same variables, in the same groups and order, with the same defaults. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ENVIRONMENT, loadConfig } from '../server/config.ts';

const ROOT = join(import.meta.dirname, '..');

interface Line {
  name: string;
  value: string;
  comment: string;
  group: string;
}

/** `# comment` above `# NAME=default`; groups start with `# --- Name ---`. */
function parseExample(text: string): Line[] {
  const lines: Line[] = [];
  let group = '';
  let comment = '';
  for (const line of text.split('\n')) {
    const heading = /^# --- (.+) ---$/.exec(line);
    const variable = /^(?:# ?)?([A-Z][A-Z0-9_]*)=(.*)$/.exec(line);
    if (heading) group = heading[1]!;
    else if (variable) {
      lines.push({ name: variable[1]!, value: variable[2]!, comment, group });
      comment = '';
    } else comment = /^# (.+)$/.exec(line)?.[1] ?? '';
  }
  return lines;
}

/** The groups of ENVIRONMENT: the comments that stand alone on their line in its source. */
function parseConfig(source: string): Map<string, string> {
  const body = /export const ENVIRONMENT = \{\n([\s\S]*?)\n\} as const;/.exec(source)![1]!;
  const groups = new Map<string, string>();
  let group = '';
  for (const line of body.split('\n')) {
    group = /^ {2}\/\/ (.+)$/.exec(line)?.[1] ?? group;
    const name = /^ {2}([A-Z][A-Z0-9_]*):/.exec(line)?.[1];
    if (name) groups.set(name, group);
  }
  return groups;
}

const example = parseExample(readFileSync(join(ROOT, '.env.example'), 'utf8'));
const groups = parseConfig(readFileSync(join(ROOT, 'server/config.ts'), 'utf8'));
/** Those whose default does not depend on the machine. */
const fixed = example.filter(({ name }) => name !== 'WORKER_CONCURRENCY');

describe('.env.example', () => {
  it('names every variable that is read, and no other, in the same order and groups', () => {
    expect([...groups.keys()]).toEqual(Object.keys(ENVIRONMENT));
    expect(example.map(({ name, group }) => [name, group])).toEqual([...groups]);
  });

  it('says of each what it is for', () => {
    expect(example.filter(({ comment }) => comment.length < 10).map(({ name }) => name)).toEqual([]);
  });

  it.each(fixed.map(({ name, value }) => [name, value] as const))(
    'shows the default of %s',
    (name, value) => {
      const schema = ENVIRONMENT[name as keyof typeof ENVIRONMENT];
      const { data } = schema.safeParse(undefined);
      if (data === undefined) expect(value).toBe('');
      else expect(schema.parse(value)).toEqual(data);
    },
  );

  it('is a working configuration when every line is switched on', () => {
    const env = Object.fromEntries(example.map(({ name, value }) => [name, value]));
    expect(loadConfig({ ...env, WORKER_CONCURRENCY: '' })).toEqual(loadConfig({}));
  });
});
