import type { Authenticate, Credentials } from '../auth/index.ts';
import { hasScope, type Principal } from '../auth/principal.ts';
import { AppError } from '../errors.ts';

/** Who may upload: whoever has the scope `upload`. Throws 401 without valid credentials, 403 without the scope. */
export const authorize =
  (authenticate: Authenticate) =>
  async ({ authorization, cookie }: Credentials): Promise<Principal> => {
    const principal = await authenticate({ authorization, cookie });
    if (hasScope(principal, 'upload')) return principal;
    throw new AppError(403, 'insufficient_scope', 'This needs a key with the scope “upload”.', {
      extra: { scope: 'upload' },
    });
  };
