/** Subtitles of a media that is encoded here and by a provider, added to the provider's video. */
import { text } from 'node:stream/consumers';
import type { Trx } from '../../db/dialect.ts';
import type { EncodeAttemptRow, MediaRow } from '../../db/schema.ts';
import type { Task } from '../jobs/job.ts';
import { add } from '../jobs/queue.ts';
import type { SubtitlesDetails, SubtitleTrack } from '../media/output.ts';
import { attemptById } from './attempts.ts';
import { asJobTrouble } from './push.ts';
import type { Remote } from './remote.ts';

export const CAPTIONS = 'push-captions';

/** Adds the job, once per attempt. A media is ready without waiting for it. */
export async function addCaptions(trx: Trx, media: MediaRow, attempt: EncodeAttemptRow): Promise<void> {
  await add(trx, {
    key: `${attempt.id}:captions`,
    task: CAPTIONS,
    mediaId: media.id,
    owner: media.owner,
    payload: { attemptId: attempt.id },
  });
}

export function captionsTask({ db, provider, storage }: Remote): Task {
  return async ({ job, signal }) => {
    const attempt = await attemptById(db, String(job.payload.attemptId));
    if (!attempt?.videoId || !['playable', 'complete'].includes(attempt.state)) return;
    const output = await db
      .selectFrom('output')
      .selectAll()
      .where('mediaId', '=', attempt.mediaId)
      .where('kind', '=', 'subtitles')
      .executeTakeFirst();
    if (!output) return;
    const { tracks } = JSON.parse(output.details) as SubtitlesDetails;
    try {
      for (const { name, language } of onePerLanguage(tracks)) {
        const vtt = await text(await storage.read(`${output.prefix}${name}.vtt`, undefined, signal));
        await provider.putCaptions(attempt.videoId, language, vtt);
      }
    } catch (error) {
      throw asJobTrouble(error);
    }
  };
}

/** A provider's video has one track of a language: the whole one rather than that of signs, the first of several. */
function onePerLanguage(tracks: SubtitleTrack[]): SubtitleTrack[] {
  const chosen = new Map<string, SubtitleTrack>();
  for (const track of [...tracks].sort((a, b) => Number(a.isForced) - Number(b.isForced)))
    if (track.language !== 'und' && !chosen.has(track.language)) chosen.set(track.language, track);
  return [...chosen.values()];
}
