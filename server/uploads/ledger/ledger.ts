/**
 * The ledger: rows of `upload` and `upload_part` are the truth about an upload, storage only holds its bytes.
 * Every change after the creation is guarded by the epoch of the lease it is made under.
 */
import { isUniqueViolation, type Db, type Trx } from '../../../db/dialect.ts';
import type { UploadPartRow, UploadRow } from '../../../db/schema.ts';
import { columnOf, insertion, statement, type Statement } from '../../../db/statement.ts';
import { transact } from '../../../db/transaction.ts';
import { AppError, notFound } from '../../errors.ts';
import { deleteLock } from './lease-rows.ts';

/**
 * receiving:  bytes are missing
 * assembling: every byte is stored; the object is being put in its place
 * complete:   the object is there and its media was told
 * terminated: its client or owner gave it up
 * expired:    nobody went on with it in time
 */
export const UPLOAD_STATES = ['receiving', 'assembling', 'complete', 'terminated', 'expired'] as const;
/** Not given up and not expired. What is complete has no time to expire at, unless it is a partial. */
const UNENDED = ['receiving', 'assembling', 'complete'] as const;
export type UploadState = (typeof UPLOAD_STATES)[number];

/** A lease's hold on the ledger: who may commit, and the row as it was committed last. */
export interface Hold {
  readonly holder: string;
  upload: UploadRow;
  /** A commit gave the lease back: nothing more may be stored under it. */
  returned: boolean;
}

/** Somebody else took over: nothing more of this holder may be stored or promised. */
export class LeaseLostError extends Error {
  constructor(uploadId: string) {
    super(`the lease on upload ${uploadId} is lost`);
    this.name = 'LeaseLostError';
  }
}

export type NewUpload = Pick<
  UploadRow,
  'id' | 'mediaId' | 'owner' | 'kind' | 'length' | 'metadata' | 'key' | 'idempotencyKey' | 'expiresAt'
> &
  Partial<Pick<UploadRow, 'digest' | 'concat' | 'state'>>;

const insertRow = insertion<UploadRow>('upload');

/** Opens an upload at offset 0. Throws a unique violation when the owner used the idempotency key before. */
export async function insertUpload(trx: Trx, upload: NewUpload): Promise<UploadRow> {
  const now = Date.now();
  return insertRow(trx, {
    digest: null,
    concat: null,
    state: 'receiving',
    ...upload,
    offset: 0,
    finalId: null,
    storageId: null,
    tail: null,
    tailSize: 0,
    epoch: 0,
    createdAt: now,
    updatedAt: now,
  });
}

/** The upload that an earlier creation with this key made. */
export async function findByIdempotencyKey(
  db: Db,
  owner: string,
  idempotencyKey: string,
): Promise<UploadRow | undefined> {
  return db
    .selectFrom('upload')
    .selectAll()
    .where('owner', '=', owner)
    .where('idempotencyKey', '=', idempotencyKey)
    .executeTakeFirst();
}

/** The same creation may make a new upload: this one ended without its client having wanted that. */
export async function releaseIdempotencyKey(trx: Trx, { id }: Pick<UploadRow, 'id'>): Promise<void> {
  await trx.updateTable('upload').set({ idempotencyKey: null }).where('id', '=', id).execute();
}

/** True for the violation that a second creation with the same idempotency key ends in. */
export const isRepeatedCreation = isUniqueViolation;

/** What a request needs to know before it takes a lease. */
export interface UploadStanding {
  upload: UploadRow;
  /** A live lease is on it: its offset may be about to grow. */
  leased: boolean;
  /** Its media was cancelled, failed or deleted behind the upload's back. */
  abandoned: boolean;
}

const selectStanding = statement<
  UploadRow & { mediaStatus: string | null; mediaDeletedAt: number | null; leaseExpiresAt: number | null }
>(
  () => `
    select upload.*, media.status as media_status, media.deleted_at as media_deleted_at,
      upload_lock.expires_at as lease_expires_at
    from upload
    left join media on media.id = upload.media_id
    left join upload_lock on upload_lock.upload_id = upload.id
    where upload.id = ?`,
);

/** An upload with its lease and its media's state, in one read. */
export async function findUpload(db: Db, id: string): Promise<UploadStanding | undefined> {
  const [row] = await selectStanding(db, id);
  if (!row) return undefined;
  const { mediaStatus, mediaDeletedAt, leaseExpiresAt, ...upload } = row;
  const unfinished = upload.state === 'receiving' || upload.state === 'assembling';
  return {
    upload,
    leased: leaseExpiresAt !== null,
    abandoned: mediaDeletedAt !== null || (unfinished && mediaStatus !== null && mediaStatus !== 'uploading'),
  };
}

/** Throws 404 for no upload, 410 for one that can't go on. */
export function assertStanding(standing: UploadStanding | undefined): asserts standing is UploadStanding {
  if (!standing) throw notFound('No upload');
  assertUnended(standing.upload);
  if (standing.abandoned) throw cancelled();
}

/** Throws 410 for an upload that was given up, or that nobody went on with in time. */
export function assertUnended(upload: UploadRow): void {
  if (upload.state === 'expired' || isPastExpiry(upload)) throw gone('The upload expired. Start it again.');
  if (upload.state === 'terminated') throw cancelled();
}

const cancelled = (): AppError => gone('The upload was cancelled. Start it again.');

export const gone = (message: string): AppError => new AppError(410, 'upload_gone', message);

/** Unfinished and nobody went on with it in time; the sweep may not have come by yet. */
export const isPastExpiry = ({ state, expiresAt, finalId }: UploadRow): boolean =>
  (UNENDED as readonly string[]).includes(state) &&
  finalId === null && // a partial that has a final lives and ends with it
  expiresAt !== null &&
  expiresAt < Date.now();

/** Every byte is stored, but the object is not told of yet. A final's partials say when it is. */
export const isWhole = ({ kind, state, length, offset }: UploadRow): boolean =>
  state === 'assembling' || (state === 'receiving' && kind !== 'final' && offset === length);

const LEDGER_COLUMNS = [
  'offset',
  'length',
  'state',
  'storageId',
  'tail',
  'tailSize',
  'expiresAt',
  'digest',
] as const satisfies (keyof UploadRow)[];

/** What storage acknowledged and the ledger shall know from now on. */
export type LedgerChanges = Partial<Pick<UploadRow, (typeof LEDGER_COLUMNS)[number]>> & {
  parts?: Omit<UploadPartRow, 'uploadId'>[];
  /** This is the lease's last word: it is given back in the same transaction. */
  last?: boolean;
};

const updates = new Map<string, Statement<UploadRow>>();

/** The statement that sets these columns; of a complete upload only when it `ends` it. */
function updateOf(columns: readonly (typeof LEDGER_COLUMNS)[number][], ends: boolean): Statement<UploadRow> {
  const key = `${columns.join()} ${ends}`;
  const sets = columns.map((column) => `${columnOf(column)} = ?`);
  const states = ends ? "'receiving', 'assembling', 'complete'" : "'receiving', 'assembling'";
  const made =
    updates.get(key) ??
    statement<UploadRow>(
      () => `
        update upload set ${[...sets, 'updated_at = ?'].join(', ')}
        where id = ? and epoch = ? and state in (${states}) and "offset" <= ?
        returning *`,
    );
  updates.set(key, made);
  return made;
}

/**
 * Writes changes under a lease, and whatever `along` does in the same transaction. Throws `LeaseLostError`, and
 * changes nothing, when the epoch moved on, the upload ended, or the offset would go down. Survives a power cut
 * after `flushed(db)`, for which whoever tells of it must wait.
 */
export async function commit(
  db: Db,
  hold: Hold,
  { parts, last = false, ...changes }: LedgerChanges,
  along?: (trx: Trx, upload: UploadRow) => Promise<void>,
): Promise<void> {
  const { id, epoch } = hold.upload;
  const columns = LEDGER_COLUMNS.filter((column) => changes[column] !== undefined);
  const values = columns.map((column) => changes[column]);
  const ends = changes.state === 'terminated' || changes.state === 'expired';
  const update = updateOf(columns, ends);
  const write = async (trx: Trx): Promise<UploadRow> => {
    const [row] = await update(
      trx,
      ...values,
      Date.now(),
      id,
      epoch,
      changes.offset ?? Number.MAX_SAFE_INTEGER,
    );
    if (!row) throw new LeaseLostError(id);
    if (parts?.length)
      await trx
        .insertInto('uploadPart')
        .values(parts.map((part) => ({ ...part, uploadId: id })))
        .execute();
    await along?.(trx, row);
    if (last) await deleteLock(trx, id, hold.holder);
    return row;
  };
  hold.upload = await transact(db, write, { durable: false });
  hold.returned ||= last;
}

/** The first and the last part that storage acknowledged: two look-ups, however many there are. */
export async function outerParts(
  db: Db,
  uploadId: string,
): Promise<{ first: UploadPartRow | undefined; last: UploadPartRow | undefined }> {
  const parts = db.selectFrom('uploadPart').selectAll().where('uploadId', '=', uploadId).limit(1);
  const first = await parts.orderBy('number').executeTakeFirst();
  return { first, last: first && (await parts.orderBy('number', 'desc').executeTakeFirst()) };
}

/** The parts that storage acknowledged, in order. */
export async function partsOf(db: Db, uploadId: string): Promise<UploadPartRow[]> {
  return db.selectFrom('uploadPart').selectAll().where('uploadId', '=', uploadId).orderBy('number').execute();
}

/** Storage has lost the parts of an upload, and its bytes are elsewhere. Throws `LeaseLostError`. */
export const forgetParts = (db: Db, hold: Hold): Promise<void> =>
  commit(db, hold, {}, (trx, { id }) =>
    trx
      .deleteFrom('uploadPart')
      .where('uploadId', '=', id)
      .execute()
      .then(() => undefined),
  );

/** Ids of uploads whose last byte is stored but whose finish is missing. */
export async function unfinishedFinishes(db: Db, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('upload')
    .select('id')
    .where((eb) =>
      eb.or([
        eb('state', '=', 'assembling'),
        eb.and([
          eb('state', '=', 'receiving'),
          eb('kind', '!=', 'final'),
          eb('offset', '=', eb.ref('length')),
        ]),
      ]),
    )
    .orderBy('updatedAt')
    .limit(limit)
    .execute();
  return rows.map((row) => row.id);
}

/** Ids of unfinished uploads that nobody went on with in time. */
export async function expiredUploads(db: Db, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('upload')
    .select('id')
    .where('state', 'in', UNENDED)
    .where('finalId', 'is', null)
    .where('expiresAt', '<', Date.now())
    .orderBy('expiresAt')
    .limit(limit)
    .execute();
  return rows.map((row) => row.id);
}
