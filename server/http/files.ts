/** `GET /files/{id}`: an upload's bytes for its owner, once it is complete. Every other verb is the upload engine's. */
import { Router } from 'express';
import type { Context } from '../context.ts';
import { AppError, notFound } from '../errors.ts';
import { owns } from '../auth/principal.ts';
import { findUpload } from '../uploads/index.ts';
import type { Access } from './access.ts';
import { cors } from './cors.ts';
import { isId } from '../ids.ts';
import { sendObject } from './send-object.ts';

export function fileRoutes(ctx: Context, access: Access): Router {
  const router = Router();
  const readable = cors(ctx.config.corsOrigins, 'GET');
  // Not `get`: Express would answer OPTIONS by itself, and with it the preflight of every upload from another origin.
  router.all('/:id', async (req, res, next) => {
    // HEAD is tus's; the draft asks by GET how far an upload is; and a form may mean another verb.
    const { 'upload-draft-interop-version': draft, 'x-http-method-override': verb = 'GET' } = req.headers;
    if (req.method !== 'GET' || draft !== undefined || verb !== 'GET') return next();
    readable(req, res, () => undefined);
    const principal = await access(req, 'read');
    const id = String(req.params.id);
    const found = isId(id) ? await findUpload(ctx.db, id) : undefined;
    if (!found || !owns(principal, found.upload.owner)) throw notFound('No upload');
    const { state, kind, key, mediaId, digest } = found.upload;
    if (state === 'terminated' || state === 'expired' || found.abandoned)
      throw new AppError(410, 'upload_gone', 'The upload was cancelled or expired.');
    if (state !== 'complete' || kind === 'partial')
      throw new AppError(409, 'upload_incomplete', 'The upload is not complete. HEAD says how far it is.');
    res.attachment(`${mediaId ?? id}.bin`); // whatever was uploaded, it must never run as a page of ours
    await sendObject(req, res, ctx.storage, key, {
      ...(digest === null ? {} : { 'Repr-Digest': digest }),
      'Content-Type': 'application/octet-stream',
      'Cache-Control': 'private, no-cache',
    });
  });
  return router;
}
