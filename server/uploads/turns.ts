/** Work that must not overlap. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Runs `work` when all that was begun before has ended, however. Resolves or rejects as it does. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined); // told to whoever took that turn
    return turn;
  }
}
