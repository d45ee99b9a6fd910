/**
 * Remembers unfinished uploads over reloads and crashes: the URL of each, and the key that makes creating it
 * idempotent. Both live and go together, under the fingerprint of the file (name, type, size, modified).
 */
import type { PreviousUpload, UrlStorage } from 'tus-js-client';
import { newKey } from './new-key.ts';

export type StoredUpload = PreviousUpload & { fingerprint: string };

export interface UploadStorage extends UrlStorage {
  /** Everything that is stored, oldest first. */
  all(): StoredUpload[];
  /** The Idempotency-Key of creating an upload for this fingerprint: the same until it is stored no more. */
  creationKey(fingerprint: string): string;
  /** Forgets the URL and the key. */
  forget(fingerprint: string): void;
}

/**
 * `store` is localStorage; entries that are not ours or not JSON are left alone. Each owner who logs in with
 * this browser has entries of their own.
 */
export function createUploadStorage(
  store: Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>,
  owner: string,
): UploadStorage {
  const urlPrefix = `millrace:upload:${encodeURIComponent(owner)}:`;
  const keyPrefix = `millrace:creation:${encodeURIComponent(owner)}:`;

  function all(): StoredUpload[] {
    const keys = Array.from({ length: store.length }, (_, i) => store.key(i) ?? '');
    return keys
      .filter((key) => key.startsWith(urlPrefix))
      .flatMap((key) => read(key, store.getItem(key), urlPrefix) ?? [])
      .sort((a, b) => Date.parse(a.creationTime) - Date.parse(b.creationTime));
  }

  function forget(fingerprint: string): void {
    store.removeItem(urlPrefix + fingerprint);
    store.removeItem(keyPrefix + fingerprint);
  }

  return {
    all,
    forget,
    creationKey(fingerprint) {
      const kept = store.getItem(keyPrefix + fingerprint);
      if (kept) return kept;
      const key = newKey();
      store.setItem(keyPrefix + fingerprint, key);
      return key;
    },
    findAllUploads: async () => all(),
    findUploadsByFingerprint: async (fingerprint) => all().filter((u) => u.fingerprint === fingerprint),
    addUpload: async (fingerprint, upload) => {
      store.setItem(urlPrefix + fingerprint, JSON.stringify(upload));
      return urlPrefix + fingerprint;
    },
    // Called when the server answered 404 or 410, after a termination, and after success: see rules.ts.
    removeUpload: async (urlStorageKey) => forget(urlStorageKey.slice(urlPrefix.length)),
  };
}

function read(key: string, text: string | null, urlPrefix: string): StoredUpload | undefined {
  try {
    const upload = JSON.parse(text ?? '') as PreviousUpload;
    return { ...upload, urlStorageKey: key, fingerprint: key.slice(urlPrefix.length) };
  } catch {
    return undefined; // written by something else: not ours to judge or to delete
  }
}
