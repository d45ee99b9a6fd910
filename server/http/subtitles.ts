/** `/media/{id}/subtitles/…` for everybody, and as renditions of the stream `/media/{id}/hls/subtitles/…`. */
import { Router, type Request } from 'express';
import type { Db } from '../../db/dialect.ts';
import type { Context } from '../context.ts';
import { notFound } from '../errors.ts';
import { shown } from '../hls/multivariant.ts';
import { subtitlePlaylist, subtitleSegment, type SubtitleRendition } from '../hls/subtitles.ts';
import { TIME_OFFSET } from '../hls/time.ts';
import { hlsOutputs } from '../media/growing.ts';
import type { SubtitlesDetails } from '../media/output.ts';
import type { Source } from '../media/source.ts';
import type { Access } from './access.ts';
import { headersOf } from './output-files.ts';
import { resource } from './routes.ts';
import { sendObject } from './send-object.ts';
import { sendPlaylist } from './send-playlist.ts';
import { readText, sendText } from './send-text.ts';
import { viewing, type Viewing } from './viewer.ts';

const VTT = 'text/vtt; charset=utf-8';
const PLAYLIST = 'application/vnd.apple.mpegurl';

/** The renditions of a media's stream; none while there are no subtitles. */
export async function subtitlesOf(db: Db, { media }: Viewing): Promise<SubtitleRendition[]> {
  const { tracks } = (await stored(db, media.id)) ?? { tracks: [] };
  return tracks.map(({ name, label, ...track }) => ({
    name: label,
    language: track.language,
    isDefault: track.isDefault,
    isForced: track.isForced,
    uri: `subtitles/${name}.m3u8`,
  }));
}

/** Before those of the stream's other files. */
export function subtitleRoutes(ctx: Context, access: Access): Router {
  const router = Router();

  /** Where the track of the address is stored; AppError 404 when there is none. */
  async function find(req: Request): Promise<Viewing & { name: string; key: string }> {
    const found = await viewing(ctx, access, req);
    const output = await stored(ctx.db, found.media.id);
    const track = output?.tracks.find(({ name }) => name === req.params['track']);
    if (!output || !track) throw notFound('No file');
    return { ...found, name: track.name, key: `${output.prefix}${track.name}.vtt` };
  }

  resource(router, '/:id/subtitles/:track.vtt', {
    async get(req, res) {
      const found = await find(req);
      await sendObject(req, res, ctx.storage, found.key, headersOf(found, VTT));
    },
  });
  resource(router, '/:id/hls/subtitles/:track.m3u8', {
    async get(req, res) {
      const found = await find(req);
      const { duration } = JSON.parse(found.media.source ?? '{"duration":0}') as Source;
      const growing = shown(await hlsOutputs(ctx.db, found.media.id)).some(
        (o) => o.details.state === 'growing',
      );
      const playlist = subtitlePlaylist(`${found.name}.vtt`, duration, growing);
      await sendPlaylist(req, res, playlist, headersOf(found, PLAYLIST), found.token);
    },
  });
  resource(router, '/:id/hls/subtitles/:track.vtt', {
    async get(req, res) {
      const found = await find(req);
      const segment = subtitleSegment(await readText(ctx.storage, found.key), TIME_OFFSET);
      await sendText(req, res, segment, headersOf(found, VTT));
    },
  });
  return router;
}

async function stored(db: Db, mediaId: string): Promise<(SubtitlesDetails & { prefix: string }) | undefined> {
  const row = await db
    .selectFrom('output')
    .select(['prefix', 'details'])
    .where('mediaId', '=', mediaId)
    .where('kind', '=', 'subtitles')
    .executeTakeFirst();
  return row && { ...(JSON.parse(row.details) as SubtitlesDetails), prefix: row.prefix };
}
