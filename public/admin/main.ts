/** The admin page: media, jobs and API keys, kept up to date by the feed. */
import { goToLogin, sentenceOf, whoAmI } from '../api/client.ts';
import { openFeed, type FeedEvent } from '../api/feed.ts';
import type { Me, Progress } from '../api/types.ts';
import { fill, h } from '../ui/dom.ts';
import { openPage, start, toast } from '../ui/page.ts';
import { readAddress, toSearch, type Address, type Tab } from './address.ts';
import { filterBar } from './filters.ts';
import { createJobDrawer } from './job-drawer.ts';
import { createJobsTable, JOB_FILTERS } from './jobs-table.ts';
import { createKeysTab } from './keys.ts';
import { createMediaTable, MEDIA_FILTERS } from './media-table.ts';
import '../styles/admin.css';

const LABELS: Record<Tab, string> = { media: 'Media', jobs: 'Jobs', keys: 'API keys' };

start(async () => {
  const me = await whoAmI();
  if (!me) return goToLogin();
  const isAdmin = me.scopes.includes('admin');
  const main = openPage(me, 'admin');
  const tabs = h('nav', { class: 'tabs', 'aria-label': 'Admin' });
  const filters = h('div', {});
  const content = h('div', { class: 'tab-content' });
  let address = readAddress(location.search);

  const media = createMediaTable(isAdmin);
  const jobs = createJobsTable((job) => go({ job }));
  const keys = createKeysTab();
  const drawer = createJobDrawer(() => address.job && go({ job: '' }));
  main.append(h('h1', {}, 'Admin'), ...ownOnly(me, isAdmin), tabs, filters, content);

  /** Goes to an address: a new entry of the history, except while typing or looking at details. */
  function go(changes: Partial<Address>): void {
    const before = address;
    address = { ...address, ...changes };
    const url = location.pathname + toSearch(address);
    if ('q' in changes || 'job' in changes) history.replaceState(null, '', url);
    else history.pushState(null, '', url);
    show(before);
  }

  function show(before?: Address): void {
    const { tab, status, q, job } = address;
    if (job) drawer.open(job);
    else drawer.close();
    if (before && toSearch({ ...before, job: '' }) === toSearch({ ...address, job: '' })) return;
    const shown = (Object.keys(LABELS) as Tab[]).filter((name) => isAdmin || name !== 'keys');
    fill(tabs, ...shown.map((name) => tabLink(name, name === tab, go)));
    const typing = before?.tab === tab && before.status === status && before.media === address.media;
    if (!typing)
      fill(
        filters,
        tab === 'keys' ? null : filterBar(address, tab === 'media' ? MEDIA_FILTERS : JOB_FILTERS, go),
      );
    fill(content, { media, jobs, keys }[tab].element);
    load(tab, status, q).catch((error: unknown) => toast(sentenceOf(error), 'bad'));
  }

  async function load(tab: Tab, status: string, q: string): Promise<void> {
    if (tab === 'media') await media.load({ status, q });
    else if (tab === 'jobs') await jobs.load({ status, media: address.media });
    else await keys.load();
  }

  function onEvent({ type, mediaId, jobId, payload }: FeedEvent): void {
    if (
      type === 'job.progress' &&
      jobId &&
      jobs.patch(jobId, (job) => (job.progress = payload as unknown as Progress))
    )
      drawer.touch(jobId);
    else if (jobId) {
      if (address.tab === 'jobs') jobs.touch(jobId);
      drawer.touch(jobId);
    }
    if (mediaId && address.tab === 'media') media.touch(mediaId);
  }

  addEventListener('popstate', () => {
    const before = address;
    address = readAddress(location.search);
    show(before);
  });
  show();
  openFeed('/api/events', { onEvent, onGap: () => load(address.tab, address.status, address.q) });
});

function ownOnly(me: Me, isAdmin: boolean): HTMLElement[] {
  if (isAdmin) return [];
  const text = `You see what belongs to ${me.owner}. An admin’s key shows everybody’s media, and API keys.`;
  return [h('p', { class: 'notice' }, text)];
}

function tabLink(name: Tab, current: boolean, go: (changes: Partial<Address>) => void): HTMLElement {
  return h(
    'a',
    {
      href: toSearch({ tab: name, status: '', q: '', media: '', job: '' }) || '?',
      'aria-current': current ? 'page' : null,
      onclick: (event) => {
        event.preventDefault();
        go({ tab: name, status: '', q: '', media: '', job: '' });
      },
    },
    LABELS[name],
  );
}
