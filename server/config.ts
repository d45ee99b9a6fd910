/**
 * Environment -> Config. Read once at boot; every error is reported at once, with the variable's name.
 * The groups are those of .env.example, which a test holds to this file.
 */
import { resolve } from 'node:path';
import { z } from 'zod';
import { CODECS, encodingConfig } from './encoding-config.ts';
import { processors } from './machine/processors.ts';
import {
  address,
  duration,
  flag,
  integer,
  list,
  optional,
  origins,
  processes,
  retention,
  size,
  switchable,
  text,
  trustedProxies,
  words,
} from './settings.ts';
import { ENCODERS, streamConfig, streamProblems } from './stream-config.ts';
import { uploadConfig } from './upload-config.ts';

/** Of x264 and x265, which have the same names for them. */
const preset = z.enum(['ultrafast', 'superfast', 'veryfast', 'faster', 'fast', 'medium', 'slow', 'slower']);

/** Every variable Millrace reads. */
export const ENVIRONMENT = {
  // Server
  HOST: text.default('0.0.0.0'),
  PORT: integer(8080, 0, 65_535),
  DATA_DIR: text.default('./data'),
  PUBLIC_URL: address.optional(),
  TRUST_PROXY: trustedProxies,
  CORS_ORIGINS: origins('*'),
  ROLE: z.enum(['all', 'server', 'worker']).default('all'),
  WEB_CONCURRENCY: processes.default(1),
  START_TIMEOUT: duration('60s'),
  SHUTDOWN_GRACE: duration('25s'),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']).default('info'),
  LOG_FORMAT: z.enum(['pretty', 'json']).default('pretty'),

  // Who may do what
  ADMIN_KEY: z.string().regex(/^\S+$/, 'must have no white space').optional(),
  SESSION_SECRET: z.string().min(32, 'must have at least 32 characters').optional(),
  SESSION_TTL: duration('30d'),
  JWT_SECRET: z.string().min(32, 'must have at least 32 characters').optional(),
  JWT_JWKS_URL: address.optional(),
  JWT_ISSUER: optional,
  JWT_AUDIENCE: optional,
  DEFAULT_VISIBILITY: z.enum(['private', 'unlisted', 'public']).default('private'),
  PLAYBACK_TTL: duration('12h'),

  // Database
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must start with postgresql://')
    .optional(),
  DATABASE_POOL: integer(10, 1, 1000),
  EVENT_RETENTION: duration('7d'),

  // Storage
  STORAGE: z.enum(['disk', 's3']).default('disk'),
  S3_ENDPOINT: address.optional(),
  S3_REGION: text.default('us-east-1'),
  S3_BUCKET: optional,
  S3_PREFIX: z
    .string()
    .regex(/^([\w.-]+\/)*$/, 'must be empty or end with /')
    .default(''),
  S3_ACCESS_KEY: optional,
  S3_SECRET_KEY: optional,
  S3_FORCE_PATH_STYLE: switchable.optional(),
  S3_SIGN_PAYLOAD: switchable.optional(),

  // Uploads
  UPLOAD_MAX_SIZE: size('64GB'),
  UPLOAD_EXPIRES: duration('24h'),
  UPLOAD_METADATA_MAX: size('8KB'),
  UPLOAD_FSYNC: flag(true),
  UPLOAD_IDLE_TIMEOUT: duration('60s'),
  UPLOAD_PART_SIZE: size('8MB'),
  UPLOAD_CHECKPOINT: duration('10s'),
  UPLOAD_MEMORY: size('256MB'),
  DISK_FLOOR: size('1GB'),
  DISK_RESERVE: flag(true),
  QUOTA_PER_OWNER: size('0'),
  UPLOADS_PER_OWNER: integer(1000, 0, 1_000_000),

  // Encoding
  WORKER_CONCURRENCY: integer(Math.min(64, processors().count), 1, 64),
  SCRATCH_DIR: optional,
  FFMPEG_PATH: text.default('ffmpeg'),
  FFPROBE_PATH: text.default('ffprobe'),
  LADDER: list('1080,720,480,360'),
  MAX_DURATION: duration('12h'),
  MAX_PIXELS: integer(37_748_736, 1, 1_000_000_000),
  X264_PRESET: preset.default('veryfast'),
  CODECS: list('h264').pipe(z.array(z.enum(CODECS))),
  X265_PRESET: preset.default('veryfast'),
  SVTAV1_PRESET: integer(10, 0, 13),
  CHUNK_SECONDS: integer(60, 0, 3600),
  FFMPEG_THREADS: integer(0, 0, 256),
  KEEP_COPY: flag(true),
  PLAY_SOON: flag(true),
  STORYBOARD: flag(true),
  WAVEFORM: flag(true),
  SUBTITLES: flag(true),
  DOWNLOAD_MP4: flag(false),
  DOWNLOAD_M4A: flag(false),
  FFMPEG_MEMORY: size('8GB'),
  SANDBOX: z.enum(['auto', 'require', 'off']).default('auto'),
  EARLY: flag(true),
  EARLY_MIN_SIZE: size('32MB'),
  EARLY_CONCURRENCY: integer(4, 1, 64),
  EARLY_IDLE_TIMEOUT: duration('10m'),
  KEEP_SOURCE: retention.prefault('always'),
  STALL_TIMEOUT: duration('60s'),
  SCRATCH_FLOOR: size('512MB'),
  MEMORY_FLOOR: size('256MB'),
  JOB_LEASE: duration('30s'),
  JOB_RETENTION: duration('30d'),
  ENCODER: z.enum(ENCODERS).default('ffmpeg'),
  ENCODER_CHOICE: words(ENCODERS),

  // Cloudflare Stream
  STREAM_ACCOUNT_ID: z
    .string()
    .regex(/^[0-9a-zA-Z]{1,32}$/, 'must be the id of an account: letters and digits')
    .optional(),
  STREAM_API_TOKEN: z.string().regex(/^\S+$/, 'must have no white space').optional(),
  STREAM_TRANSFER: z.enum(['copy', 'push']).default('copy'),
  STREAM_WEBHOOK_SECRET: optional,
  STREAM_WEBHOOK_SECRET_PREVIOUS: optional,
  SOURCE_KEY: z.string().min(32, 'must have at least 32 characters').optional(),
  SOURCE_KEY_PREVIOUS: z.string().min(32, 'must have at least 32 characters').optional(),
  STREAM_SIGNED_URLS: flag(true),
  STREAM_SIGNING_KEY_ID: optional,
  STREAM_SIGNING_KEY: optional,
  STREAM_MAX_IN_FLIGHT: integer(120, 1, 10_000),
  STREAM_POLL_CALLS: integer(120, 10, 100_000),
  STREAM_POLL_FIRST: duration('2m'),
  STREAM_POLL_LONGEST: duration('15m'),
  STREAM_LOOKUP: duration('10s'),
  STREAM_DEADLINE: duration('24h'),
  STREAM_TIMEOUT: duration('30s'),
  STREAM_API_URL: address.default('https://api.cloudflare.com/client/v4'),
} as const;

export type Env = z.infer<z.ZodObject<typeof ENVIRONMENT>>;
export type Config = ReturnType<typeof toConfig>;

/** Thrown when the environment is wrong; the message lists every variable and what is wrong with it. */
export class ConfigError extends Error {
  constructor(problems: string[]) {
    super(`The configuration is wrong:\n${problems.map((p) => `  - ${p}`).join('\n')}\nSee .env.example.`);
    this.name = 'ConfigError';
  }
}

/** Reads the environment. Empty variables count as absent. Throws ConfigError with everything that is wrong. */
export function loadConfig(env: Record<string, string | undefined> = process.env): Config {
  const given = Object.fromEntries(Object.entries(env).filter(([, v]) => v !== undefined && v.trim() !== ''));
  const schema = z.object(ENVIRONMENT);
  const parsed = schema.safeParse(given);
  if (!parsed.success) {
    const { issues } = parsed.error;
    const wrong = new Set(issues.map(({ path }) => String(path[0])));
    const others = schema.parse(
      Object.fromEntries(Object.entries(given).filter(([name]) => !wrong.has(name))),
    );
    const further = contradictions(others).filter(
      (problem) => ![...wrong].some((name) => problem.includes(name)),
    );
    throw new ConfigError([
      ...issues.map((issue) => `${String(issue.path[0])} ${wordsFor(issue)}`),
      ...further,
    ]);
  }
  const problems = contradictions(parsed.data);
  if (problems.length) throw new ConfigError(problems);
  return toConfig(parsed.data);
}

const wordsFor = (issue: z.core.$ZodIssue): string =>
  issue.code === 'invalid_value' ? `must be one of ${issue.values.join(', ')}` : issue.message;

function contradictions(env: Env): string[] {
  const problems: string[] = [];
  if (env.STORAGE === 's3' && !env.S3_BUCKET) problems.push('S3_BUCKET is missing (STORAGE is s3)');
  if (!!env.S3_ACCESS_KEY !== !!env.S3_SECRET_KEY)
    problems.push('S3_ACCESS_KEY and S3_SECRET_KEY go together: set both or neither');
  if (env.ROLE !== 'all' && !env.DATABASE_URL)
    problems.push(`DATABASE_URL is missing (ROLE is ${env.ROLE}: several processes share a PostgreSQL)`);
  if (env.ROLE !== 'all' && env.STORAGE === 'disk')
    problems.push(`STORAGE must be s3 (ROLE is ${env.ROLE}: several machines share a bucket)`);
  if (env.STORAGE === 's3' && env.UPLOAD_PART_SIZE < 5 * 1024 * 1024)
    problems.push('UPLOAD_PART_SIZE must be at least 5MB (S3 takes no smaller parts)');
  if (env.CHUNK_SECONDS % 6 || env.CHUNK_SECONDS === 6)
    problems.push('CHUNK_SECONDS must be a multiple of 6 from 12 on (whole segments), or 0');
  if (env.LADDER.some((rung) => !/^\d{3,4}$/.test(rung)))
    problems.push('LADDER must be heights in pixels, such as 1080,720,480,360');
  if (!env.CODECS.includes('h264'))
    problems.push('CODECS must have h264, which every player plays; hevc and av1 come beside it');
  return [...problems, ...streamProblems(env)];
}

function toConfig(env: Env) {
  const dataDir = resolve(env.DATA_DIR);
  return {
    host: env.HOST,
    port: env.PORT,
    dataDir,
    publicUrl: env.PUBLIC_URL?.replace(/\/+$/, ''),
    trustProxy: env.TRUST_PROXY,
    corsOrigins: env.CORS_ORIGINS,
    role: env.ROLE,
    /** Processes that share the port. A worker listens for health checks only. */
    concurrency: env.ROLE === 'worker' ? 1 : env.WEB_CONCURRENCY,
    startPatienceMs: env.START_TIMEOUT,
    shutdownGraceMs: env.SHUTDOWN_GRACE,
    log: { level: env.LOG_LEVEL, format: env.LOG_FORMAT },
    auth: {
      adminKey: env.ADMIN_KEY,
      sessionSecret: env.SESSION_SECRET,
      sessionTtlMs: env.SESSION_TTL,
      jwt: {
        secret: env.JWT_SECRET,
        jwksUrl: env.JWT_JWKS_URL,
        issuer: env.JWT_ISSUER,
        audience: env.JWT_AUDIENCE,
      },
      defaultVisibility: env.DEFAULT_VISIBILITY,
      playbackTtlMs: env.PLAYBACK_TTL,
    },
    database: { url: env.DATABASE_URL, file: resolve(dataDir, 'millrace.db'), poolSize: env.DATABASE_POOL },
    eventRetentionMs: env.EVENT_RETENTION,
    storage: {
      driver: env.STORAGE,
      s3: {
        endpoint: env.S3_ENDPOINT,
        region: env.S3_REGION,
        bucket: env.S3_BUCKET ?? '',
        prefix: env.S3_PREFIX,
        accessKey: env.S3_ACCESS_KEY,
        secretKey: env.S3_SECRET_KEY,
        signPayload: env.S3_SIGN_PAYLOAD,
        // Nearly every server that is not Amazon's wants it, and the others take it.
        forcePathStyle: env.S3_FORCE_PATH_STYLE ?? env.S3_ENDPOINT !== undefined,
      },
    },
    uploads: uploadConfig(env),
    encoding: encodingConfig(env, dataDir),
    jobs: { leaseMs: env.JOB_LEASE, retentionMs: env.JOB_RETENTION },
    /** Who encodes, and what an upload may choose instead. */
    encoder: { fallback: env.ENCODER, choice: env.ENCODER_CHOICE },
    stream: streamConfig(env),
  };
}
