/** A real, throw-away S3 server (Ceph RADOS Gateway) for a test run, or the one that TEST_S3_ENDPOINT names. */
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { execa } from 'execa';
import { join } from 'node:path';
import { newId } from '../../server/ids.ts';
import { isFree } from '../ports.ts';
import { oncePerRun } from './run.ts';

export interface TestS3 {
  endpoint: string;
  region: string;
  /** Empty and the caller's own. */
  bucket: string;
  accessKey: string;
  secretKey: string;
  forcePathStyle: true;
}

type Access = Omit<TestS3, 'bucket'>;

/** Starts the server when this run has none yet (about 15 s) and makes a new bucket. Give the hook 180 s. */
export async function startS3(): Promise<TestS3> {
  const access = given() ?? (JSON.parse(await oncePerRun('s3', startCeph)) as Access);
  const bucket = `test-${newId()}`;
  const client = connectS3(access);
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
  return { ...access, bucket };
}

/** A client of that server, for looking at what was stored. The caller destroys it. */
export function connectS3(access: Access): S3Client {
  return new S3Client({
    endpoint: access.endpoint,
    region: access.region,
    forcePathStyle: access.forcePathStyle,
    credentials: { accessKeyId: access.accessKey, secretAccessKey: access.secretKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}

/** The settings of a server that uses it, as over TLS: bytes unsigned, so that parts may be sent while they arrive. */
export function s3Environment(s3: TestS3): Record<string, string> {
  return {
    STORAGE: 's3',
    S3_ENDPOINT: s3.endpoint,
    S3_REGION: s3.region,
    S3_BUCKET: s3.bucket,
    S3_ACCESS_KEY: s3.accessKey,
    S3_SECRET_KEY: s3.secretKey,
    S3_FORCE_PATH_STYLE: 'true',
    S3_SIGN_PAYLOAD: 'false',
  };
}

function given(): Access | undefined {
  const { TEST_S3_ENDPOINT, TEST_S3_REGION, TEST_S3_ACCESS_KEY, TEST_S3_SECRET_KEY } = process.env;
  if (!TEST_S3_ENDPOINT) return undefined;
  return {
    endpoint: TEST_S3_ENDPOINT,
    region: TEST_S3_REGION ?? 'us-east-1',
    accessKey: TEST_S3_ACCESS_KEY ?? '',
    secretKey: TEST_S3_SECRET_KEY ?? '',
    forcePathStyle: true,
  };
}

async function startCeph(dir: string): Promise<string> {
  const port = await freePorts();
  const access: Access = {
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    accessKey: 'TESTACCESSKEY0000001',
    secretKey: 'testSecretKeyTestSecretKeyTestSecretKey1',
    forcePathStyle: true,
  };
  await execa('bash', [join(import.meta.dirname, 'ceph.sh'), dir, String(port)], {
    env: { S3_ACCESS_KEY: access.accessKey, S3_SECRET_KEY: access.secretKey },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return JSON.stringify(access);
}

/** A port whose neighbours (see ceph.sh) are free too, below the range of outgoing connections. */
async function freePorts(): Promise<number> {
  for (;;) {
    const base = 20_000 + Math.floor(Math.random() * 120) * 100;
    const tries = await Promise.all([0, 1, 20, 21, 22, 23].map((step) => isFree(base + step)));
    if (tries.every(Boolean)) return base;
  }
}
