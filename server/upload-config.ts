/** The settings of uploads: sizes in bytes, times in milliseconds. */
import type { Env } from './config.ts';

export const uploadConfig = (env: Env) => ({
  maxSize: env.UPLOAD_MAX_SIZE,
  expiresMs: env.UPLOAD_EXPIRES,
  metadataMax: env.UPLOAD_METADATA_MAX,
  fsync: env.UPLOAD_FSYNC,
  idleTimeoutMs: env.UPLOAD_IDLE_TIMEOUT,
  partSize: env.UPLOAD_PART_SIZE,
  memory: env.UPLOAD_MEMORY,
  checkpointMs: env.UPLOAD_CHECKPOINT,
  diskFloor: env.DISK_FLOOR,
  diskReserve: env.DISK_RESERVE,
  /** 0: none. */
  quota: env.QUOTA_PER_OWNER,
  /** Of one owner at once; 0: any number. */
  unfinished: env.UPLOADS_PER_OWNER,
});
