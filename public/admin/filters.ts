/** The bar above a table: status, search, and the media a job list is narrowed to. */
import { h } from '../ui/dom.ts';
import { icon } from '../ui/icons.ts';
import type { Address } from './address.ts';

const TYPING_MS = 250;

/** `change` gets the filters that are new. */
export function filterBar(
  address: Address,
  statuses: string[],
  change: (changes: Partial<Address>) => void,
): HTMLElement {
  const select = h(
    'select',
    { 'aria-label': 'Status', onchange: () => change({ status: select.value }) },
    ...['', ...statuses].map((status) =>
      h(
        'option',
        { value: status, selected: status === address.status },
        status ? status[0]!.toUpperCase() + status.slice(1) : 'Every status',
      ),
    ),
  );
  return h(
    'div',
    { class: 'filters' },
    address.tab === 'media' ? search(address.q, change) : null,
    select,
    address.tab === 'jobs' && address.media ? onlyMedia(address.media, change) : null,
  );
}

function search(q: string, change: (changes: Partial<Address>) => void): HTMLElement {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const input = h('input', {
    type: 'search',
    value: q,
    placeholder: 'Search titles and file names',
    'aria-label': 'Search',
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => change({ q: input.value.trim() }), TYPING_MS);
    },
  });
  return input;
}

function onlyMedia(media: string, change: (changes: Partial<Address>) => void): HTMLElement {
  return h(
    'button',
    {
      class: 'button',
      type: 'button',
      title: 'Show the jobs of all media',
      onclick: () => change({ media: '' }),
    },
    `Media …${media.slice(-8)}`,
    icon('close', 14),
  );
}
