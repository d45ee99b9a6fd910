/** A table of rows that are paged from the API and kept up to date by id. */
import { ApiError, request, withQuery, sentenceOf } from '../api/client.ts';
import { createRefresher } from '../api/refresher.ts';
import type { Page } from '../api/types.ts';
import { actionButton } from '../ui/button.ts';
import { fill, h } from '../ui/dom.ts';
import { toast } from '../ui/page.ts';

export interface LiveTable<T> {
  element: HTMLElement;
  /** Reads from the start with these filters. */
  load(filters: Record<string, string>): Promise<void>;
  /** The row of this id changed (or is new): reads it again soon. */
  touch(id: string): void;
  /** Changes a shown row in place, without reading; false when it is not shown. */
  patch(id: string, change: (item: T) => void): boolean;
}

export interface TableOptions<T> {
  /** `/api/media` */
  path: string;
  columns: string[];
  cells(item: T): (Node | string)[];
  /** True when a row belongs in the list with these filters. */
  matches(item: T, filters: Record<string, string>): boolean;
  empty(filters: Record<string, string>): HTMLElement;
  label: string;
}

const PAGE = 50;

export function createLiveTable<T extends { id: string }>(options: TableOptions<T>): LiveTable<T> {
  const items = new Map<string, { item: T; row: HTMLTableRowElement }>();
  const body = h('tbody');
  const table = h(
    'table',
    { class: 'table', 'aria-label': options.label },
    h('thead', {}, h('tr', {}, ...options.columns.map((name) => h('th', { scope: 'col' }, name)))),
    body,
  );
  const below = h('div', { class: 'table-below' });
  const element = h('div', { class: 'live-table' }, table, below);
  let filters: Record<string, string> = {};
  let cursor: string | undefined;
  let loads = 0;

  /** Newest first: ids grow with time. */
  function show(item: T): void {
    const known = items.get(item.id);
    const row = known?.row ?? h('tr', { 'data-id': item.id });
    items.set(item.id, { item, row });
    render(row, item);
    if (known) return;
    const older = [...body.rows].find((other) => (other.dataset.id ?? '') < item.id);
    body.insertBefore(row, older ?? null);
  }

  /** On one of the pages that were read, not on a later one. */
  const isInReach = (id: string): boolean => cursor === undefined || id > cursor;

  function render(row: HTMLTableRowElement, item: T): void {
    const focused = row.contains(document.activeElement)
      ? document.activeElement?.getAttribute('data-focus')
      : null;
    const cells = options.cells(item);
    row.replaceChildren(...cells.map((cell, i) => h('td', { 'data-label': options.columns[i] }, cell)));
    if (focused) row.querySelector<HTMLElement>(`[data-focus="${focused}"]`)?.focus();
  }

  function drop(id: string): void {
    items.get(id)?.row.remove();
    items.delete(id);
  }

  function showEnds(): void {
    table.hidden = items.size === 0;
    const more = actionButton({ label: 'Load more', run: loadMore });
    fill(below, items.size === 0 ? options.empty(filters) : cursor ? more : null);
  }

  async function loadMore(): Promise<void> {
    const load = loads;
    const page = await request<Page<T>>('GET', withQuery(options.path, { ...filters, limit: PAGE, cursor }));
    if (load !== loads) return; // other filters were chosen meanwhile
    for (const item of page.items) show(item);
    cursor = page.nextCursor ?? undefined;
    showEnds();
  }

  const refresher = createRefresher(async (id) => {
    const item = await readOne<T>(`${options.path}/${id}`);
    if (!item || !options.matches(item, filters)) drop(id);
    else if (items.has(id) || isInReach(id)) show(item);
    showEnds();
  });

  return {
    element,
    touch: (id) => refresher.ask(id),
    async load(next) {
      const load = ++loads;
      filters = next;
      cursor = undefined;
      try {
        const page = await request<Page<T>>('GET', withQuery(options.path, { ...filters, limit: PAGE }));
        if (load !== loads) return;
        items.clear();
        body.replaceChildren();
        for (const item of page.items) show(item);
        cursor = page.nextCursor ?? undefined;
        showEnds();
      } catch (error) {
        toast(sentenceOf(error), 'bad');
      }
    },
    patch(id, change) {
      const known = items.get(id);
      if (!known) return false;
      change(known.item);
      render(known.row, known.item);
      return true;
    },
  };
}

async function readOne<T>(path: string): Promise<T | undefined> {
  try {
    return await request<T>('GET', path);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
