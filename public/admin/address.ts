/** Tab and filters live in the address, so that a link shows the same and Back goes back. */

export const TABS = ['media', 'jobs', 'keys'] as const;
export type Tab = (typeof TABS)[number];

export interface Address {
  tab: Tab;
  /** One status, or '' for all. */
  status: string;
  q: string;
  /** Jobs of this media only. */
  media: string;
  /** The job whose details are open. */
  job: string;
}

/** Reads `?tab=jobs&status=failed…`; what is not understood is the default. */
export function readAddress(search: string): Address {
  const query = new URLSearchParams(search);
  const text = (name: string): string => query.get(name)?.slice(0, 200) ?? '';
  return {
    tab: TABS.find((tab) => tab === query.get('tab')) ?? 'media',
    status: text('status'),
    q: text('q'),
    media: text('media'),
    job: text('job'),
  };
}

/** The shortest query string that reads back as this address. */
export function toSearch(address: Address): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries<string>({ ...address }))
    if (value && !(name === 'tab' && value === 'media')) query.set(name, value);
  return query.size ? `?${query}` : '';
}
