/** The last step of an upload on S3: what is stored of it becomes its object. */
import type { Db } from '../../../db/dialect.ts';
import type { UploadRow } from '../../../db/schema.ts';
import type { S3Storage } from '../../storage/s3.ts';
import { partsOf } from '../ledger/ledger.ts';
import { BytesLostError } from '../problems.ts';
import type { Multipart } from './multipart.ts';
import { piecesOf } from './tail.ts';

export interface Assembly {
  db: Db;
  storage: S3Storage;
  multipart: Multipart;
}

/** Makes the parts, or the one piece of the tail, the object `upload.key`. May be repeated. Throws `BytesLostError`. */
export async function assembleObject(assembly: Assembly, upload: UploadRow): Promise<void> {
  const { id, key, length } = upload;
  const failure = await place(assembly, upload).then(
    () => undefined,
    (error: unknown) => error as Error,
  );
  // Before the object is looked for: somebody else may complete it in between.
  const gone = failure !== undefined && (isGone(failure) || (await isAborted(assembly, upload)));
  // The answer may be what got lost, now or before a crash: the object says.
  const size = (await assembly.storage.stat(key))?.size;
  if (size === length) return;
  const message = `upload ${id} should have ${length} bytes, but ${size ?? 'no object'} is in the bucket`;
  if (failure === undefined) throw size === undefined ? new Error(message) : new BytesLostError(message);
  throw gone ? new BytesLostError(message, failure) : failure;
}

async function place({ db, storage, multipart }: Assembly, upload: UploadRow): Promise<void> {
  const { id, key, length, storageId } = upload;
  const [tail] = piecesOf(upload);
  if (storageId !== null) await multipart.complete(key, storageId, await partsOf(db, id));
  else if (tail) await storage.copy(tail.key, key);
  else if (length === 0) await storage.put(key, '');
}

/** Ceph answers 500 to the completion of a multipart upload that was aborted, for ever. An outage says nothing. */
async function isAborted({ multipart }: Assembly, { key, storageId }: UploadRow): Promise<boolean> {
  if (storageId === null) return false;
  return multipart.lastNumber(key, storageId, 0).then(
    () => false,
    (error: unknown) => isGone(error as Error),
  );
}

/** The bucket answers that it has not got what it was asked for. */
const isGone = ({ name }: Error): boolean => ['NoSuchUpload', 'InvalidPart', 'NoSuchKey'].includes(name);
