import { readAddress, toSearch } from './address.ts';

describe('address', () => {
  it('is the media tab without filters by default', () => {
    expect(readAddress('')).toEqual({ tab: 'media', status: '', q: '', media: '', job: '' });
    expect(readAddress('?tab=nonsense').tab).toBe('media');
    expect(toSearch(readAddress(''))).toBe('');
  });

  it('reads back what it wrote', () => {
    const address = { tab: 'jobs', status: 'failed', q: 'a & b?', media: 'm', job: 'j' } as const;
    expect(readAddress(toSearch(address))).toEqual(address);
  });
});
