/** `/media/{id}/…`: what players fetch, and the source for its owner. */
import { extname } from 'node:path';
import { Router, type RequestHandler } from 'express';
import type { Context } from '../context.ts';
import { AppError, notFound } from '../errors.ts';
import { withSubtitles } from '../hls/subtitles.ts';
import { createGrowth } from '../media/growth.ts';
import type { RemoteEncoding } from '../providers/index.ts';
import type { Access } from './access.ts';
import { createBlockingReload } from './blocking-reload.ts';
import { ownMedia } from './media-queries.ts';
import { redirectToVideo } from './remote-playback.ts';
import { idOf, resource } from './routes.ts';
import { sendObject, type ObjectHeaders } from './send-object.ts';
import { mediaPlaylistOf, multivariantOf, streamOutput, type PlaylistText } from './playlists.ts';
import { sendPlaylist } from './send-playlist.ts';
import { subtitlesOf } from './subtitles.ts';
import { viewing, type Viewing } from './viewer.ts';

/** Files below an output's prefix that may be served, and as what. */
const TYPES: Record<string, string> = {
  '.m3u8': 'application/vnd.apple.mpegurl',
  '.mp4': 'video/mp4',
  '.m4s': 'video/mp4',
  '.m4a': 'audio/mp4',
  '.vtt': 'text/vtt; charset=utf-8',
};

/** Names that steps give: no dot but that of the extension. */
const NAME = /^[\w-]{1,64}$/;
const FILE = /^[\w-]{1,64}\.(?:m3u8|mp4|m4s|m4a|vtt)$/;

export function playbackRoutes(ctx: Context, access: Access, remote?: RemoteEncoding): Router {
  const router = Router();
  const hold = createBlockingReload(createGrowth(ctx.db));

  resource(router, '/:id/hls/index.m3u8', {
    async get(req, res) {
      const found = await viewing(ctx, access, req);
      if (await redirectToVideo(ctx, remote, found.media, 'hls', res)) return;
      const playlist = await multivariantOf(ctx.db, found.media.id);
      if (!playlist) throw notFound('No file');
      const text = withSubtitles(playlist.text, await subtitlesOf(ctx.db, found));
      await sendPlaylist(req, res, text, playlistHeaders(found, playlist), found.token);
    },
  });

  resource(router, '/:id/hls/:output/:rendition/:file', {
    async get(req, res) {
      const found = await viewing(ctx, access, req);
      const { rendition, file } = req.params;
      const output = await streamOutput(ctx.db, found.media.id, String(req.params.output));
      if (!output || !NAME.test(String(rendition)) || !FILE.test(String(file))) throw notFound('No file');
      const path = `${String(rendition)}/${String(file)}`;
      if (!path.endsWith('.m3u8'))
        return sendObject(req, res, ctx.storage, output.prefix + path, headersOf(path, found));
      let playlist = await mediaPlaylistOf(ctx, output, path);
      const { segments } = playlist ?? {};
      if (
        segments &&
        (await hold(req, res, { outputId: output.id, rendition: String(rendition), segments }))
      ) {
        const now = await streamOutput(ctx.db, found.media.id, output.id);
        playlist = now && (await mediaPlaylistOf(ctx, now, path));
      }
      if (!playlist) throw notFound('No file');
      await sendPlaylist(req, res, playlist.text, playlistHeaders(found, playlist), found.token);
    },
  });

  resource(router, '/:id/source', {
    async get(req, res) {
      const media = await ownMedia(ctx.db, await access(req, 'read'), idOf(req, 'No media'));
      if (media.sourceDeletedAt !== null)
        throw new AppError(
          410,
          'source_gone',
          'The uploaded file was deleted, as KEEP_SOURCE says. Its outputs are there.',
        );
      if (media.sourceKey === null) throw notFound('No file');
      res.attachment(media.filename ?? `${media.id}.bin`); // encodes the name (RFC 6266)
      await sendObject(req, res, ctx.storage, media.sourceKey, {
        // Whatever was uploaded, it must never run as a page of ours.
        'Content-Type': 'application/octet-stream',
        'Cache-Control': 'private, no-cache',
      });
    },
  });

  return router;
}

/** Other sites may show media; who may watch is decided above. */
export const embeddable: RequestHandler = (_req, res, next) => {
  res.set('Cross-Origin-Resource-Policy', 'cross-origin');
  next();
};

/** What is growing is asked for again and again; what is complete may be kept for a while. */
const playlistHeaders = (found: Viewing, { growing }: PlaylistText): ObjectHeaders => {
  const headers = headersOf('index.m3u8', found);
  return growing ? { ...headers, 'Cache-Control': `${scopeOf(found)}, no-cache` } : headers;
};

const scopeOf = ({ media }: Viewing): string => (media.visibility === 'private' ? 'private' : 'public');

/**
 * Segments never change under their name. Playlists are asked for again soon, since a retry or a
 * change of visibility replaces them. Shared caches keep nothing that is private.
 */
function headersOf(path: string, found: Viewing): ObjectHeaders {
  const extension = extname(path);
  const lasting = ['.mp4', '.m4s', '.m4a'].includes(extension);
  const age = lasting ? 'max-age=31536000, immutable' : 'max-age=60';
  return {
    'Content-Type': TYPES[extension] ?? 'application/octet-stream',
    'Cache-Control': `${scopeOf(found)}, ${age}`,
  };
}
