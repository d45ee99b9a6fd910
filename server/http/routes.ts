/** Routes whose wrong methods are answered 405 with what is allowed (RFC 9110, section 15.5.6). */
import type { Request, Response, Router } from 'express';
import { AppError, notFound } from '../errors.ts';
import { isId } from '../ids.ts';

export type Handler = (req: Request, res: Response) => void | Promise<void>;
type Method = 'get' | 'post' | 'patch' | 'delete';

/** Adds one address with all its methods. HEAD comes with GET; OPTIONS answers Allow. */
export function resource(router: Router, path: string, handlers: Partial<Record<Method, Handler>>): void {
  const methods = Object.keys(handlers).map((method) => method.toUpperCase());
  const allow = [...methods, ...(handlers.get ? ['HEAD'] : []), 'OPTIONS'].join(', ');
  const route = router.route(path);
  route.all((req, res, next) => {
    res.locals.route = req.baseUrl + path;
    next();
  });
  for (const [method, handler] of Object.entries(handlers)) route[method as Method](handler);
  route.options((_req, res) => void res.status(204).set('Allow', allow).end());
  route.all((req) => {
    throw new AppError(405, 'method_not_allowed', `${req.method} means nothing here; try ${allow}.`, {
      headers: { Allow: allow },
    });
  });
}

/** The id in the address. One that no row can have is 404, like one that no row has. */
export function idOf(req: Request, what: string): string {
  const { id } = req.params;
  if (typeof id !== 'string' || !isId(id)) throw notFound(what);
  return id;
}
