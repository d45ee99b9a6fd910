import type { RequestHandler } from 'express';
import helmet from 'helmet';

/** Headers of every answer. Answers that are not pages may load nothing at all. */
export function securityHeaders(publicUrl: string | undefined): RequestHandler {
  const https = publicUrl?.startsWith('https:') ?? false;
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
    // Over plain HTTP browsers ignore these, and complain in the console.
    strictTransportSecurity: https,
    crossOriginOpenerPolicy: https,
    originAgentCluster: https,
  });
}

/**
 * For pages: everything from here, nothing from elsewhere but media of a provider that encodes for us; `blob:` is how
 * hls.js feeds a player.
 */
export function pagePolicy(publicUrl: string | undefined, origins: readonly string[] = []): RequestHandler {
  const self = ["'self'", ...(publicUrl ? [new URL(publicUrl).origin] : [])];
  return helmet.contentSecurityPolicy({
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      // Uppy and the player's web components bring <style> elements with them.
      styleSrc: ["'self'", "'unsafe-inline'"],
      imgSrc: [...self, ...origins, 'data:', 'blob:'],
      fontSrc: ["'self'", 'data:'],
      // hls.js makes its subtitle tracks from an empty data: URL.
      mediaSrc: [...self, ...origins, 'blob:', 'data:'],
      workerSrc: ["'self'", 'blob:'],
      connectSrc: [...self, ...origins, 'blob:'],
      manifestSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'self'"],
      frameAncestors: ["'self'"],
    },
  });
}

/** Answers of the API may be kept by nobody but the browser, and not be used without asking. */
export const revalidated: RequestHandler = (_req, res, next) => {
  res.set('Cache-Control', 'private, no-cache');
  next();
};
