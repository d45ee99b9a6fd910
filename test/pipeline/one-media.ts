/** One media in a database of its own, as its rows tell of it. Nobody works on it. */
import type { Db, Trx } from '../../db/dialect.ts';
import type { MediaRow } from '../../db/schema.ts';
import { transact } from '../../db/transaction.ts';
import { newId } from '../../server/ids.ts';
import { createMedia } from '../../server/media/media.ts';
import { openTestDatabase, type DialectName } from '../databases.ts';

export interface OneMedia {
  db: Db;
  id: string;
  /** An empty folder, but for the database's file. */
  dir: string;
  row(on?: Db): Promise<MediaRow>;
  /** `task status` of each of its jobs, sorted. */
  jobs(): Promise<string[]>;
  close(): Promise<void>;
}

/** Makes a media that is being uploaded; `begin` is called in the same transaction. */
export async function openMedia(
  dialect: DialectName,
  begin: (trx: Trx, media: MediaRow) => Promise<void>,
): Promise<OneMedia> {
  const { db, dir, close } = await openTestDatabase(dialect);
  const id = newId();
  const row = (on: Db = db): Promise<MediaRow> =>
    on.selectFrom('media').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  await transact(db, async (trx) => {
    const name = { title: 'a', filename: null, filetype: null };
    await createMedia(trx, { id, owner: 'me', ...name, visibility: 'private', status: 'uploading' });
    await begin(trx, await row(trx));
  });
  return {
    ...{ db, id, dir, row, close },
    async jobs() {
      const jobs = await db.selectFrom('job').select(['task', 'status']).where('mediaId', '=', id).execute();
      return jobs.map(({ task, status }) => `${task} ${status}`).sort();
    },
  };
}
