/** What the upload engine asks of the rest of the house. The functions that take a `trx` run inside the ledger's own. */
import type { Db, Trx } from '../../db/dialect.ts';
import type { UploadRow } from '../../db/schema.ts';
import type { Credentials } from '../auth/index.ts';
import type { Principal } from '../auth/principal.ts';
import type { FileDescription } from './metadata.ts';

export interface MediaOfUpload {
  mediaId: string;
  owner: string;
  file: FileDescription;
}

export interface UploadHooks {
  /** Who asks, and may upload. Throws 401 or 403. */
  authorize(credentials: Credentials): Promise<Principal>;
  /** A media begins with its upload: both rows or none. */
  create(trx: Trx, media: MediaOfUpload): Promise<void>;
  /** More of a `single` upload is stored: its offset was `before`, and is that of the row now. */
  arrive(trx: Trx, upload: UploadRow, before: number): Promise<void>;
  /** Whether the upload is of a kind that is ever read while it arrives. */
  mayFollow(upload: UploadRow): boolean;
  /** Somebody reads the upload while it arrives, or may begin to. What it says may be outdated a moment later. */
  isFollowed(db: Db, upload: UploadRow): Promise<boolean>;
  /** The object is in its place. False when the media ended meanwhile and does not want it. */
  finish(trx: Trx, upload: UploadRow): Promise<boolean>;
  /** The upload turned out to be something else than was promised: its media failed. */
  reject(trx: Trx, upload: UploadRow, reason: { code: string; message: string }): Promise<void>;
  /** The client gave the upload up; when it was complete already, the media goes. */
  terminate(trx: Trx, upload: UploadRow, complete: boolean): Promise<void>;
  /** Nobody went on with the upload in time. */
  expire(trx: Trx, upload: UploadRow): Promise<void>;
}
