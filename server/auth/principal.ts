/** Who is asking, and what they may do. */

export const SCOPES = ['upload', 'read', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

export interface Principal {
  /** The owner of what it makes: a key's owner or a JWT's `sub`. */
  owner: string;
  scopes: ReadonlySet<Scope>;
  /** Id of the API key it came with, when it did. */
  keyId?: string | undefined;
  /** Bytes its owner may have, instead of QUOTA_PER_OWNER; 0: any. Of a JWT that says so. */
  quota?: number | undefined;
}

/** `admin` includes every other scope. */
export const hasScope = (principal: Principal, scope: Scope): boolean =>
  principal.scopes.has('admin') || principal.scopes.has(scope);

/** True when a row of this owner exists for the principal; false must look like 404. */
export const owns = (principal: Principal, owner: string): boolean =>
  principal.scopes.has('admin') || principal.owner === owner;
