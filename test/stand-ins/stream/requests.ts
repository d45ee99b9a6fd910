/**
 * What Cloudflare's API schema allows in requests to Stream, checked strictly: the real API ignores unknown keys in
 * silence, so here they are an error. Facts from the published OpenAPI schema.
 */
import { z } from 'zod';

const creator = z.string().max(64);
const date = z.iso.datetime({ offset: true });

/** POST /stream/copy. `url` is the deprecated name of `input`, and not taken here. */
export const copyRequest = z.strictObject({
  input: z.url(),
  meta: z.record(z.string(), z.string()).optional(),
  name: z.string().optional(),
  creator: creator.optional(),
  allowedOrigins: z.array(z.string()).optional(),
  requireSignedURLs: z.boolean().optional(),
  scheduledDeletion: date.optional(),
  thumbnailTimestampPct: z.number().min(0).max(1).optional(),
  watermark: z.strictObject({ uid: z.string().max(32) }).optional(),
});

/** POST /stream/{uid}. */
export const editRequest = z.strictObject({
  uid: z.string().optional(),
  creator: creator.optional(),
  meta: z.record(z.string(), z.string()).optional(),
  allowedOrigins: z.array(z.string()).optional(),
  requireSignedURLs: z.boolean().optional(),
  maxDurationSeconds: z.number().int().min(1).max(36_000).optional(),
  scheduledDeletion: date.optional(),
  thumbnailTimestampPct: z.number().min(0).max(1).optional(),
  uploadExpiry: date.optional(),
  publicDetails: z
    .strictObject({
      channel_link: z.string().nullable(),
      logo: z.string().nullable(),
      share_link: z.string().nullable(),
    })
    .partial()
    .optional(),
});

/** POST /stream/{uid}/token. */
export const tokenRequest = z.strictObject({
  id: z.string().optional(),
  pem: z.string().optional(),
  exp: z.number().int().optional(),
  nbf: z.number().int().optional(),
  downloadable: z.boolean().optional(),
  accessRules: z
    .array(
      z
        .strictObject({
          type: z.enum(['any', 'ip.src', 'ip.geoip.country']),
          action: z.enum(['allow', 'block']),
          country: z.array(z.string()),
          ip: z.array(z.string()),
        })
        .partial(),
    )
    .optional(),
  flags: z.strictObject({ original: z.boolean().optional() }).optional(),
});

/** PUT /stream/webhook: one of the two names. */
export const webhookRequest = z
  .strictObject({ notificationUrl: z.url().optional(), notification_url: z.url().optional() })
  .refine((body) => body.notificationUrl ?? body.notification_url, 'needs a notificationUrl');

const STATES = [
  'pendingupload',
  'downloading',
  'queued',
  'inprogress',
  'ready',
  'error',
  'live-inprogress',
] as const;

/** GET /stream. */
export const listQuery = z.strictObject({
  id: z.string().optional(),
  name: z.string().optional(),
  video_name: z.string().optional(),
  search: z.string().optional(),
  status: z.enum(STATES).optional(),
  creator: creator.optional(),
  type: z.string().optional(),
  asc: z.enum(['true', 'false']).optional(),
  start: date.optional(),
  end: date.optional(),
  before: date.optional(),
  after: date.optional(),
  include_counts: z.enum(['true', 'false']).optional(),
  live_input_id: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(1000).optional(),
});

/** The keys of Upload-Metadata that are supported, lower case. */
export const TUS_METADATA = new Set([
  ...['name', 'requiresignedurls', 'allowedorigins', 'thumbnailtimestamppct'],
  ...['watermark', 'scheduleddeletion', 'maxdurationseconds'],
]);
