/** Remembers what servers promised: an offset that a client was told may never go down. */

export interface Witness {
  /** Bytes that a server said it has of the upload at this URL. */
  highest(url: string): number;
  /** A promise. `floor` is what was promised already when the request was sent. */
  told(url: string, offset: number, floor: number): void;
  /** Anything else that must not be. */
  complain(what: string): void;
  readonly complaints: string[];
  /** Of all uploads together. */
  acknowledged(): number;
  /** Acknowledged, and taken back. */
  lost(): number;
}

export function createWitness(): Witness {
  const promised = new Map<string, number>();
  const complaints: string[] = [];
  let lost = 0;
  const highest = (url: string): number => promised.get(url) ?? 0;
  return {
    highest,
    told(url, offset, floor) {
      if (offset < floor) {
        lost += floor - offset;
        complaints.push(`${url}: the offset went from ${floor} back to ${offset}`);
      }
      promised.set(url, Math.max(highest(url), offset));
    },
    complain: (what) => void complaints.push(what),
    complaints,
    acknowledged: () => [...promised.values()].reduce((sum, offset) => sum + offset, 0),
    lost: () => lost,
  };
}
