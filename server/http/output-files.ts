/** `/media/{id}/…`: the files of a media's outputs beside its stream. */
import { Router, type Request, type Response } from 'express';
import type { MediaRow, OutputRow } from '../../db/schema.ts';
import type { Context } from '../context.ts';
import { notFound } from '../errors.ts';
import type { OutputDetails, OutputKind } from '../media/output.ts';
import type { RemoteEncoding } from '../providers/index.ts';
import type { Access } from './access.ts';
import { redirectToVideo } from './remote-playback.ts';
import { resource } from './routes.ts';
import { sendObject, type ObjectHeaders } from './send-object.ts';
import { readText, sendText } from './send-text.ts';
import { viewing, type Viewing } from './viewer.ts';

const VTT = 'text/vtt; charset=utf-8';
const PICTURES = { jpg: 'image/jpeg', webp: 'image/webp' };
const DOWNLOADS = { mp4: 'video/mp4', m4a: 'audio/mp4' };

interface Found<K extends OutputKind> extends Viewing {
  output: OutputRow;
  details: OutputDetails[K];
}

export function outputFileRoutes(ctx: Context, access: Access, remote?: RemoteEncoding): Router {
  const router = Router();

  /** The output of those who may watch; AppError 404 when it was not made. */
  async function find<K extends OutputKind>(req: Request, kind: K): Promise<Found<K>> {
    const found = await viewing(ctx, access, req);
    const output = await ctx.db
      .selectFrom('output')
      .selectAll()
      .where('mediaId', '=', found.media.id)
      .where('kind', '=', kind)
      .executeTakeFirst();
    if (!output) throw notFound('No file');
    return { ...found, output, details: JSON.parse(output.details) as OutputDetails[K] };
  }

  const send = (req: Request, res: Response, found: Found<OutputKind>, name: string, type: string) =>
    sendObject(req, res, ctx.storage, found.output.prefix + name, headersOf(found, type));

  for (const [ending, type] of Object.entries(PICTURES)) {
    const poster = async (req: Request, res: Response, name: string): Promise<void> =>
      send(req, res, await find(req, 'poster'), `${name}.${ending}`, type);
    resource(router, `/:id/poster.${ending}`, {
      async get(req, res) {
        const { media } = await viewing(ctx, access, req);
        if (!(await redirectToVideo(ctx, remote, media, 'poster', res))) await poster(req, res, 'poster');
      },
    });
    resource(router, `/:id/poster-:width.${ending}`, {
      get: (req, res) => poster(req, res, `poster-${numberOf(req, 'width')}`),
    });
  }

  resource(router, '/:id/storyboard.vtt', {
    async get(req, res) {
      const found = await find(req, 'storyboard');
      const stored = await readText(ctx.storage, `${found.output.prefix}storyboard.vtt`);
      const token = found.token === undefined ? '' : `?token=${found.token}`;
      await sendText(req, res, stored.replaceAll('.webp#', `.webp${token}#`), headersOf(found, VTT));
    },
  });
  resource(router, '/:id/storyboard-:sheet.webp', {
    async get(req, res) {
      const name = `storyboard-${numberOf(req, 'sheet')}.webp`;
      await send(req, res, await find(req, 'storyboard'), name, 'image/webp');
    },
  });

  resource(router, '/:id/waveform.json', {
    async get(req, res) {
      await send(req, res, await find(req, 'waveform'), 'waveform.json', 'application/json');
    },
  });

  for (const [kind, type] of Object.entries(DOWNLOADS))
    resource(router, `/:id/download.${kind}`, {
      async get(req, res) {
        const found = await find(req, kind as keyof typeof DOWNLOADS);
        res.attachment(`${fileTitle(found.media)}.${kind}`); // encodes the name (RFC 6266)
        await send(req, res, found, `download.${kind}`, type);
      },
    });

  return router;
}

/** Asked for again soon, since a retry or a change of visibility replaces them. Shared caches keep nothing private. */
export function headersOf({ media }: Viewing, type: string): ObjectHeaders {
  const scope = media.visibility === 'private' ? 'private' : 'public';
  return { 'Content-Type': type, 'Cache-Control': `${scope}, max-age=60` };
}

/** A number in the address; AppError 404 for anything else. */
function numberOf(req: Request, name: string): number {
  const value = req.params[name];
  if (typeof value !== 'string' || !/^[1-9]\d{0,3}$/.test(value)) throw notFound('No file');
  return Number(value);
}

/** The title as the name of a file: no separators, nothing that a shell or a file system minds. */
const fileTitle = ({ title }: MediaRow): string =>
  title
    .replace(/[\s\p{Cc}\p{Cf}\\/:*?"<>|]+/gu, ' ')
    .replace(/^[. ]+|[. ]+$/g, '')
    .slice(0, 100) || 'download';
