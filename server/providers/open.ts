/** Opens the provider that the configuration names, with everything that works for it. */
import { transact } from '../../db/transaction.ts';
import { loadSourceKeys, type SourceKeys } from '../auth/source-tokens.ts';
import { ConfigError } from '../config.ts';
import type { Context } from '../context.ts';
import type { ClaimedJob, JobFailure, Task } from '../jobs/job.ts';
import type { Trx } from '../../db/dialect.ts';
import { isWanted, OPEN_STATES } from './attempts.ts';
import { CAPTIONS, captionsTask } from './captions.ts';
import { createCloudflare } from './cloudflare/index.ts';
import { startCourier, type Courier } from './courier.ts';
import { applyObservation, type Advance, type Effect } from './observe.ts';
import type { Delivery, Provider } from './provider.ts';
import { asJobTrouble, PUSH, pushFailed, pushTask } from './push.ts';
import { openRate } from './rate.ts';
import type { Remote } from './remote.ts';
import { webhookSecrets } from './subscription.ts';

/** Encoding elsewhere, as the rest of the house uses it. */
export interface RemoteEncoding {
  provider: Provider;
  sourceKeys: SourceKeys;
  /** Reads a webhook and does what it says. */
  receive(body: Buffer, headers: Record<string, unknown>): Promise<Receipt>;
  /** Tasks of its jobs: `push-video`, `push-captions`, `remove-video`. */
  tasks: Record<string, Task>;
  /** What follows when one of them has failed for good. */
  onFailed(trx: Trx, job: ClaimedJob, failure: JobFailure): Promise<void>;
  /** Starts submitting and looking, in processes that run jobs. */
  start(): Courier;
}

export type Receipt = Exclude<Delivery, { verdict: 'genuine' }> | { verdict: 'genuine'; effect: Effect };

/**
 * Undefined when nothing is encoded elsewhere. `advance` is the pipeline's, which stands above this folder.
 * Throws ConfigError when the webhook's secret is neither configured nor registered.
 */
export async function openRemoteEncoding(
  ctx: Context,
  advance: Advance,
): Promise<RemoteEncoding | undefined> {
  const settings = ctx.config.stream;
  if (!settings) return warnOfUnfinished(ctx);
  const { db, storage } = ctx;
  const logger = ctx.logger.child({ name: 'stream' });
  if (settings.transfer === 'copy' && !(await webhookSecrets(db, settings.webhookSecrets)).length)
    throw new ConfigError([
      'STREAM_WEBHOOK_SECRET is missing: set it, or run `npm run stream -- webhook register`, which stores it',
    ]);
  const provider = createCloudflare(settings);
  await openRate(db, provider.name);
  const sourceKeys = await loadSourceKeys(db, settings.sourceKeys);
  const observing = { provider: provider.name, advance, times: settings.times };
  const publicUrl = ctx.config.publicUrl ?? '';
  const remote: Remote = {
    db,
    storage,
    provider,
    settings,
    publicUrl,
    sourceKeys,
    observing,
    advance,
    logger,
  };

  return {
    ...{ provider, sourceKeys },
    async receive(body, headers) {
      const secrets = await webhookSecrets(db, settings.webhookSecrets);
      const delivery = provider.readWebhook(body, headers, secrets);
      if (delivery.verdict !== 'genuine') return delivery;
      const { observation } = delivery;
      const effect = await transact(db, (trx) => applyObservation(trx, observing, observation));
      const { videoId, attemptId: attempt, raw } = observation;
      logger.info({ videoId, attempt, raw, effect }, 'webhook');
      return { verdict: 'genuine', effect };
    },
    tasks: { [PUSH]: pushTask(remote), [CAPTIONS]: captionsTask(remote), 'remove-video': removeTask(remote) },
    async onFailed(trx, job, failure) {
      if (job.task === PUSH) await pushFailed(trx, remote, job.payload, failure);
    },
    start: () => startCourier(remote),
  };
}

/** Switched off while something is expected from a provider: nobody would notice that it waits for ever. */
async function warnOfUnfinished({ db, logger }: Pick<Context, 'db' | 'logger'>): Promise<undefined> {
  const { n } = await db
    .selectFrom('encodeAttempt')
    .select((eb) => eb.fn.countAll<number>().as('n'))
    .where('state', 'in', OPEN_STATES)
    .executeTakeFirstOrThrow();
  if (Number(n) > 0)
    logger.warn(
      { attempts: Number(n) },
      'media wait for Cloudflare Stream, which is switched off: set ENCODER or ENCODER_CHOICE again, or delete or cancel them',
    );
}

/** Deletes a video at the provider. Asks once more whether it is not wanted after all: what is deleted is gone. */
function removeTask({ db, provider, logger }: Remote): Task {
  return async ({ job }) => {
    const videoId = String(job.payload.videoId);
    if (await isWanted(db, provider.name, videoId))
      return logger.error({ videoId }, 'a video that is in use was to be removed: it stays');
    try {
      await provider.remove(videoId);
    } catch (error) {
      throw asJobTrouble(error);
    }
  };
}
