import { createUploadStorage } from './url-storage.ts';

/** localStorage, as far as it is used. */
function memoryStorage(): Storage {
  const map = new Map<string, string>();
  return {
    get length() {
      return map.size;
    },
    key: (i) => [...map.keys()][i] ?? null,
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => void map.set(key, value),
    removeItem: (key) => void map.delete(key),
    clear: () => map.clear(),
  };
}

const upload = (name: string, creationTime: string) => ({
  size: 5,
  metadata: { filename: name },
  creationTime,
  uploadUrl: `http://localhost/files/${name}`,
  parallelUploadUrls: null,
  urlStorageKey: '',
});

describe('upload storage', () => {
  it('finds an upload by its fingerprint, and all of them oldest first', async () => {
    const storage = createUploadStorage(memoryStorage(), 'me');
    await storage.addUpload('b', upload('b', '2026-01-02T00:00:00Z'));
    await storage.addUpload('a', upload('a', '2026-01-01T00:00:00Z'));
    expect(await storage.findUploadsByFingerprint('b')).toMatchObject([
      { uploadUrl: 'http://localhost/files/b' },
    ]);
    expect(await storage.findUploadsByFingerprint('c')).toEqual([]);
    expect(storage.all().map((u) => u.fingerprint)).toEqual(['a', 'b']);
  });

  it('keeps one creation key per file until its upload is forgotten', async () => {
    const storage = createUploadStorage(memoryStorage(), 'me');
    const key = storage.creationKey('a');
    expect(key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const urlStorageKey = await storage.addUpload('a', upload('a', '2026-01-01T00:00:00Z'));
    expect(storage.creationKey('a')).toBe(key);
    expect(storage.creationKey('b')).not.toBe(key);
    await storage.removeUpload(urlStorageKey);
    expect(storage.all()).toEqual([]);
    expect(storage.creationKey('a')).not.toBe(key);
  });

  it('does not show one owner what another uploads', async () => {
    const store = memoryStorage();
    await createUploadStorage(store, 'a:b').addUpload('f', upload('f', '2026-01-01T00:00:00Z'));
    expect(createUploadStorage(store, 'a').all()).toEqual([]);
    expect(createUploadStorage(store, 'a:b').all()).toHaveLength(1);
  });

  it('leaves what is not its own alone', () => {
    const store = memoryStorage();
    store.setItem('theme', 'dark');
    store.setItem('millrace:upload:me:x', 'not json');
    expect(createUploadStorage(store, 'me').all()).toEqual([]);
    expect(store.length).toBe(2);
  });
});
