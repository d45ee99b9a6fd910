/** The figures of a chaos run, and the table that is printed of them. */

export interface Tally {
  rounds: number;
  uploads: number;
  kills: number;
  /** By kind: network and storage. */
  faults: Record<string, number>;
  bytesAcknowledged: number;
  bytesLost: number;
  objectsChecked: number;
  objectsWrong: number;
  finishesMissed: number;
  finishesDoubled: number;
  leftBehind: number;
  /** Anything else that must not be, with what is wrong with the above. */
  complaints: string[];
}

export const newTally = (): Tally => ({
  ...{ rounds: 0, uploads: 0, kills: 0, faults: {}, bytesAcknowledged: 0, bytesLost: 0, objectsChecked: 0 },
  ...{ objectsWrong: 0, finishesMissed: 0, finishesDoubled: 0, leftBehind: 0, complaints: [] },
});

/** Nothing of what must not be was seen. */
export const isClean = (tally: Tally): boolean =>
  tally.complaints.length +
    tally.bytesLost +
    tally.objectsWrong +
    tally.finishesMissed +
    tally.finishesDoubled +
    tally.leftBehind ===
  0;

/** A Markdown table, a column per run. */
export function tableOf(tallies: Record<string, Tally>): string {
  const columns = Object.values(tallies);
  const kinds = [...new Set(columns.flatMap(({ faults }) => Object.keys(faults)))];
  const rows: [string, (tally: Tally) => number][] = [
    ['rounds', (t) => t.rounds],
    ['uploads', (t) => t.uploads],
    ['servers killed (kill -9)', (t) => t.kills],
    ...kinds.map((kind): [string, (t: Tally) => number] => [kind, (t) => t.faults[kind] ?? 0]),
    ['bytes acknowledged', (t) => t.bytesAcknowledged],
    ['objects compared (SHA-256)', (t) => t.objectsChecked],
    ['**bytes lost**', (t) => t.bytesLost],
    ['**objects wrong**', (t) => t.objectsWrong],
    ['**finishes missed**', (t) => t.finishesMissed],
    ['**finishes doubled**', (t) => t.finishesDoubled],
    ['**left behind**', (t) => t.leftBehind],
    ['other complaints', (t) => t.complaints.length],
  ];
  const line = (cells: (string | number)[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(['', ...Object.keys(tallies), 'all']),
    line(['---', ...columns.map(() => '---:'), '---:']),
    ...rows.map(([name, of]) =>
      line([
        name,
        ...columns.map((t) => of(t).toLocaleString('en')),
        columns.reduce((sum, t) => sum + of(t), 0).toLocaleString('en'),
      ]),
    ),
  ].join('\n');
}
