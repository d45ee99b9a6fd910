import type { Migration } from 'kysely';
import * as initial from './001-initial.ts';
import * as queue from './002-queue.ts';
import * as uploads from './003-uploads.ts';
import * as encodeAttempts from './004-encode-attempts.ts';
import * as segments from './005-segments.ts';
import * as unfinishedUploads from './006-unfinished-uploads.ts';
import * as tailPieces from './007-tail-pieces.ts';

/** In the order they are applied. Never edit one that was released: add the next. */
export const migrations: Record<string, Migration> = {
  '001-initial': initial,
  '002-queue': queue,
  '003-uploads': uploads,
  '004-encode-attempts': encodeAttempts,
  '005-segments': segments,
  '006-unfinished-uploads': unfinishedUploads,
  '007-tail-pieces': tailPieces,
};
