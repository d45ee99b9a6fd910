/** Reads rows again when events say that they changed: at once, then at most once per interval and row. */
export interface Refresher {
  /** Reads the row of this id soon. */
  ask(id: string): void;
}

/** `read` is never run twice at the same time for one id; asking while it runs reads once more afterwards. */
export function createRefresher(read: (id: string) => Promise<void>, intervalMs = 400): Refresher {
  const busy = new Map<string, { again: boolean }>();

  async function run(id: string, state: { again: boolean }): Promise<void> {
    do {
      state.again = false;
      await read(id);
      await new Promise((resolve) => setTimeout(resolve, intervalMs));
    } while (state.again);
    busy.delete(id);
  }

  return {
    ask(id) {
      const running = busy.get(id);
      if (running) {
        running.again = true;
        return;
      }
      const state = { again: false };
      busy.set(id, state);
      run(id, state).catch((error: unknown) => {
        busy.delete(id);
        console.warn('could not read again', id, error);
      });
    },
  };
}
