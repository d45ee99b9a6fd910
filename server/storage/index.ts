import type { Config } from '../config.ts';
import { DiskStorage } from './disk.ts';
import { S3Storage } from './s3.ts';
import type { Storage } from './storage.ts';

/** The driver that STORAGE names. Connects to nothing yet. */
export function openStorage(config: Pick<Config, 'storage' | 'dataDir'>): Storage {
  return config.storage.driver === 's3' ? new S3Storage(config.storage.s3) : new DiskStorage(config.dataDir);
}
