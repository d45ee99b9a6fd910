import type { Request } from 'express';
import { hasScope, type Principal, type Scope } from '../auth/principal.ts';
import type { Authenticate } from '../auth/index.ts';
import { AppError } from '../errors.ts';

/**
 * Resolves with who asks, when they have the scope (if one is named); throws AppError 401 or 403. The first
 * line of every handler.
 */
export type Access = (req: Request, scope?: Scope) => Promise<Principal>;

export function createAccess(authenticate: Authenticate): Access {
  return async (req, scope) => {
    const principal = await authenticate(req.headers);
    if (scope === undefined || hasScope(principal, scope)) return principal;
    throw new AppError(403, 'insufficient_scope', `This needs a key with the scope “${scope}”.`, {
      extra: { scope },
      // RFC 6750, section 3.1
      headers: { 'WWW-Authenticate': `Bearer error="insufficient_scope", scope="${scope}"` },
    });
  };
}
