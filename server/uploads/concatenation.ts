/**
 * Concatenation (tus 1.0): partial uploads, sent in parallel, and the final upload that is made of them.
 *
 * A partial has no media and is seen by nobody but its owner. A final claims its partials in the transaction that
 * creates it: each belongs to one final at most, and from then on to its media, whose end is theirs. The last partial
 * to complete, or the creation itself, turns the final to `assembling`; it completes like any upload, and takes its
 * partials with it.
 */
import { sql } from 'kysely';
import type { Db, Trx } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import { AppError } from '../errors.ts';
import { header, type Exchange } from './exchange.ts';
import { locationOf } from './location.ts';
import { bad, tooLarge } from './problems.ts';
import { isId } from '../ids.ts';

export interface Concat {
  kind: 'partial' | 'final';
  /** Raw Upload-Concat, as HEAD must return it. */
  header: string;
  /** Of a final: its partials, in order. */
  ids: string[];
}

/** Partials of one final, at most. */
const MAX_PARTIALS = 1000;

/** Upload-Concat of a creation; null for a single upload. Throws 400. */
export function readConcat(exchange: Exchange, publicUrl: string | undefined): Concat | null {
  const value = header(exchange, 'upload-concat');
  if (value === undefined) return null;
  if (value === 'partial') return { kind: 'partial', header: value, ids: [] };
  if (!value.startsWith('final;'))
    throw invalid('Upload-Concat must be “partial” or “final;” and addresses.');
  const ours = locationOf(exchange.request, '', publicUrl);
  const ids = addressesIn(value).map((address) => idIn(address, ours));
  if (ids.length > MAX_PARTIALS || new Set(ids).size !== ids.length)
    throw invalid(`A final upload takes ${MAX_PARTIALS} partial uploads at most, and each of them once.`);
  return { kind: 'final', header: value, ids };
}

/** "The list of partial uploads URLs, separated by a single space. They can be absolute or relative." */
const addressesIn = (value: string): string[] => value.slice('final;'.length).trim().split(/ +/);

function idIn(address: string, ours: string): string {
  const url = URL.canParse(address, ours) ? new URL(address, ours) : undefined;
  const id = /\/files\/([^/]+)\/?$/.exec(url?.pathname ?? '')?.[1];
  if (url?.host !== new URL(ours).host || id === undefined || !isId(id)) throw unknownPartial(address);
  return id;
}

/** The partials of a final, in order. */
export async function partialsOf(db: Db, { id, concat }: UploadRow): Promise<UploadRow[]> {
  const rows = await db.selectFrom('upload').selectAll().where('finalId', '=', id).execute();
  const order = idsIn(concat ?? '');
  return rows.sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
}

/** The ids in addresses that were checked before. */
const idsIn = (concat: string): (string | undefined)[] =>
  addressesIn(concat).map((address) => address.replace(/\/$/, '').split('/').at(-1));

/** True when the upload was asked for as one of this kind, of the same partials: absolute and relative addresses may name them. */
export function isSameConcat({ kind, concat }: UploadRow, wanted: Concat | null): boolean {
  if (kind !== (wanted?.kind ?? 'single')) return false;
  return kind !== 'final' || idsIn(concat ?? '').join() === wanted?.ids.join();
}

/** The final that an earlier creation made of the same partials. Throws 422 when they went into another. */
export async function earlierFinal(db: Db, owner: string, concat: Concat): Promise<UploadRow | undefined> {
  const claimed = await db
    .selectFrom('upload')
    .select(['id', 'finalId'])
    .where('id', 'in', concat.ids)
    .where('owner', '=', owner)
    .where('finalId', 'is not', null)
    .execute();
  const [first] = claimed;
  if (!first?.finalId) return undefined;
  const final = await db.selectFrom('upload').selectAll().where('id', '=', first.finalId).executeTakeFirst();
  const ids = final ? (await partialsOf(db, final)).map(({ id }) => id) : [];
  if (final && ids.join() === concat.ids.join()) return final;
  throw new AppError(422, 'partial_used', `The partial upload ${first.id} is part of another final upload.`);
}

/** Bytes that joining these partials needs beside those that are stored. */
export async function extraBytes(db: Db, { ids }: Concat): Promise<number> {
  const rows = await db.selectFrom('upload').select(['id', 'length']).where('id', 'in', ids).execute();
  return rows.reduce((sum, { id, length }) => sum + (id === ids[0] ? 0 : (length ?? 0)), 0);
}

/** Makes these partials parts of the final. Returns it, `assembling` when nothing is missing. Throws 400, 413. */
export async function claimPartials(
  trx: Trx,
  { id, owner }: UploadRow,
  { ids }: Concat,
  maxSize: number,
): Promise<UploadRow> {
  const rows = await trx
    .updateTable('upload')
    .set({ finalId: id, mediaId: id, updatedAt: Date.now() })
    .where('id', 'in', ids)
    .where('owner', '=', owner)
    .where('kind', '=', 'partial')
    .where('finalId', 'is', null)
    .where('state', 'in', ['receiving', 'assembling', 'complete'])
    .where((eb) => eb.or([eb('expiresAt', 'is', null), eb('expiresAt', '>', Date.now())]))
    .returning(['id', 'state', 'length', 'offset'])
    .execute();
  const missing = ids.find((partial) => !rows.some((row) => row.id === partial));
  if (missing !== undefined) throw unknownPartial(missing);
  const length = rows.every((row) => row.length !== null)
    ? rows.reduce((sum, row) => sum + (row.length ?? 0), 0)
    : null;
  if ((length ?? 0) > maxSize) throw tooLarge(`The upload is larger than ${maxSize} bytes.`);
  const state = rows.every((row) => row.state === 'complete') ? 'assembling' : 'receiving';
  const offset = rows.reduce((sum, row) => sum + row.offset, 0);
  return trx
    .updateTable('upload')
    .set({ state, length, offset })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

/**
 * Brings a final up to date with its partials: its offset is their sum (for whoever watches; HEAD tells it at the end
 * only), it lives as long as one of them grows, and it is `assembling` once they are all complete.
 */
export async function advanceFinal(
  trx: Trx,
  finalId: string,
  expiresAt: number,
): Promise<UploadRow | undefined> {
  // Locks the row: of two partials that complete at once, the second must see the first.
  const locked = await trx
    .updateTable('upload')
    .set({ expiresAt, updatedAt: Date.now() })
    .where('id', '=', finalId)
    .where('state', '=', 'receiving')
    .returning('id')
    .executeTakeFirst();
  if (!locked) return undefined;
  const rows = await trx
    .selectFrom('upload')
    .select(['state', 'length', 'offset'])
    .where('finalId', '=', finalId)
    .execute();
  const whole = rows.every((row) => row.state === 'complete');
  const known = rows.every((row) => row.length !== null);
  return trx
    .updateTable('upload')
    .set({
      offset: rows.reduce((sum, row) => sum + row.offset, 0),
      length: known ? rows.reduce((sum, row) => sum + (row.length ?? 0), 0) : null,
      ...(whole ? { state: 'assembling' } : {}),
    })
    .where('id', '=', finalId)
    .returningAll()
    .executeTakeFirst();
}

/** The final has their bytes. */
export async function endPartials(trx: Trx, finalId: string): Promise<void> {
  await trx
    .updateTable('upload')
    .set({ state: 'terminated', epoch: sql`epoch + 1`, expiresAt: null, updatedAt: Date.now() })
    .where('finalId', '=', finalId)
    .execute();
}

/** True for a partial that ended because its final, which is complete, has its bytes. */
export async function wasJoined(db: Db, { state, finalId }: UploadRow): Promise<boolean> {
  if (state !== 'terminated' || finalId === null) return false;
  const final = await db.selectFrom('upload').select('state').where('id', '=', finalId).executeTakeFirst();
  return final?.state === 'complete';
}

/** Throws 403 for a partial whose end would leave its final incomplete. */
export function assertUnused({ finalId }: UploadRow): void {
  if (finalId !== null)
    throw new AppError(403, 'partial_used', 'This upload is part of a final one. Terminate that.');
}

const invalid = (message: string): AppError => bad('concat_invalid', message);
const unknownPartial = (which: string): AppError =>
  bad(
    'partial_unknown',
    `There is no partial upload ${which.slice(0, 200)} that a final one could be made of.`,
  );
