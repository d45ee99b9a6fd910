/** What watchers of a media are told of its upload while it grows: about once a second, and at its end. */
import type { Trx } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import { emit } from '../events/events.ts';
import { advanceFinal } from './concatenation.ts';

const EVERY_MS = 1_000;
/** Uploads remembered; when there are more, some are told of once too often. */
const MOST = 10_000;

export class Progress {
  readonly #expiresMs: number;
  readonly #toldAt = new Map<string, number>();

  /** `expiresMs`: how long a final upload lives after one of its partials grew. */
  constructor(expiresMs: number) {
    this.#expiresMs = expiresMs;
  }

  isDue(uploadId: string): boolean {
    return performance.now() - (this.#toldAt.get(uploadId) ?? -Infinity) >= EVERY_MS;
  }

  /** Emits `upload.progress`; of a partial its final tells, if there is one. */
  async tell(trx: Trx, upload: UploadRow): Promise<void> {
    if (this.#toldAt.size > MOST) this.#toldAt.clear();
    this.#toldAt.set(upload.id, performance.now());
    const told =
      upload.kind !== 'partial'
        ? upload
        : upload.finalId !== null && (await advanceFinal(trx, upload.finalId, Date.now() + this.#expiresMs));
    if (!told) return;
    const { owner, mediaId, offset, length } = told;
    emit(trx, { type: 'upload.progress', owner, mediaId, payload: { offset, length } });
  }

  forget(uploadId: string): void {
    this.#toldAt.delete(uploadId);
  }
}
