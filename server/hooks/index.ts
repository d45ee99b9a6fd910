/** What uploads mean to the rest of the house: who may, and what becomes of the media. */
import type { Authenticate } from '../auth/index.ts';
import type { Context } from '../context.ts';
import { advance as advancePipeline } from '../pipeline/index.ts';
import type { UploadHooks } from '../uploads/index.ts';
import { arrive, isFollowed, mayFollow } from './arrive.ts';
import { authorize } from './authorize.ts';
import { create } from './create.ts';
import { finish, type Advance } from './finish.ts';
import { reject } from './reject.ts';
import { expire } from './sweep.ts';
import { terminate } from './terminate.ts';

export function createUploadHooks(
  ctx: Pick<Context, 'config'>,
  authenticate: Authenticate,
  advance: Advance = (trx, media) => advancePipeline(trx, media, ctx.config.encoding),
): UploadHooks {
  return {
    authorize: authorize(authenticate),
    create: create(ctx.config),
    arrive: arrive(ctx.config),
    mayFollow: mayFollow(ctx.config),
    isFollowed: isFollowed(ctx.config),
    finish: finish(advance),
    reject,
    terminate,
    expire,
  };
}
