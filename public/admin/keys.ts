/** The tab of API keys. */
import { request } from '../api/client.ts';
import type { ApiKey, Page, Scope } from '../api/types.ts';
import { actionButton } from '../ui/button.ts';
import { copyText } from '../ui/copy.ts';
import { confirmed } from '../ui/dialog.ts';
import { fill, h } from '../ui/dom.ts';
import { emptyState, toast } from '../ui/page.ts';
import { created } from './media-table.ts';

const SCOPES: Record<Scope, string> = {
  upload: 'Upload: send, change and delete own media',
  read: 'Read: see own media and jobs',
  admin: 'Admin: everything, of everybody',
};

export interface KeysTab {
  element: HTMLElement;
  load(): Promise<void>;
}

export function createKeysTab(): KeysTab {
  const list = h('div', { class: 'live-table' });
  const fresh = h('div', { 'aria-live': 'polite' });

  async function load(): Promise<void> {
    const { items } = await request<Page<ApiKey>>('GET', '/api/keys');
    fill(
      list,
      items.length ? table(items, load) : emptyState('No keys', 'Make one above for each program or person.'),
    );
  }

  const form = createForm(async (wanted) => {
    const made = await request<ApiKey & { key: string }>('POST', '/api/keys', wanted);
    fill(fresh, shownOnce(made));
    await load();
  });
  return { element: h('div', { class: 'keys' }, form, fresh, list), load };
}

function createForm(
  make: (wanted: { name: string; owner?: string; scopes: string[] }) => Promise<void>,
): HTMLElement {
  const name = h('input', {
    id: 'key-name',
    required: true,
    maxlength: 200,
    placeholder: 'What it is for',
    autocomplete: 'off',
  });
  const owner = h('input', { id: 'key-owner', maxlength: 200, placeholder: 'You', autocomplete: 'off' });
  const boxes = (Object.keys(SCOPES) as Scope[]).map((scope) =>
    h('input', { type: 'checkbox', name: 'scope', value: scope, checked: scope !== 'admin' }),
  );
  const submit = actionButton({
    label: 'Create a key',
    kind: 'primary',
    async run() {
      if (!form.reportValidity()) return;
      const scopes = boxes.filter((box) => box.checked).map((box) => box.value);
      await make({
        name: name.value.trim(),
        scopes,
        ...(owner.value.trim() ? { owner: owner.value.trim() } : {}),
      });
      form.reset();
    },
  });
  const form = h(
    'form',
    {
      class: 'card key-form',
      onsubmit: (event) => {
        event.preventDefault();
        submit.click();
      },
    },
    h('div', { class: 'field' }, h('label', { for: 'key-name' }, 'Name'), name),
    h('div', { class: 'field' }, h('label', { for: 'key-owner' }, 'Owner of what it uploads'), owner),
    h(
      'fieldset',
      {},
      h('legend', {}, 'Scopes'),
      ...boxes.map((box) => h('label', { class: 'check' }, box, SCOPES[box.value as Scope])),
    ),
    submit,
  );
  return form;
}

function shownOnce({ name, key }: { name: string; key: string }): HTMLElement {
  const copy = actionButton({
    label: 'Copy',
    icon: 'copy',
    async run() {
      await copyText(key);
      toast('Key copied.');
    },
  });
  return h(
    'div',
    { class: 'notice good' },
    h(
      'div',
      { class: 'notice-body' },
      h('p', {}, `The key “${name}”. It is shown only now: keep it somewhere safe.`),
      h('p', {}, h('code', { class: 'key' }, key)),
    ),
    h('div', { class: 'notice-actions' }, copy),
  );
}

const COLUMNS = ['Name', 'Key', 'Owner', 'Scopes', 'Created', 'Last used', ''];

function table(keys: ApiKey[], reload: () => Promise<void>): HTMLElement {
  const row = (key: ApiKey): (Node | string)[] => [
    h('strong', { class: 'truncate', title: key.name }, key.name),
    key.hint ? h('code', {}, `${key.hint}…`) : '–',
    key.owner,
    key.scopes.join(', '),
    created(key.createdAt),
    key.lastUsedAt ? created(key.lastUsedAt) : 'never',
    h(
      'span',
      { class: 'cell-actions' },
      actionButton({ label: 'Revoke', icon: 'trash', kind: 'quiet', run: () => revoke(key, reload) }),
    ),
  ];
  return h(
    'table',
    { class: 'table', 'aria-label': 'API keys' },
    h('thead', {}, h('tr', {}, ...COLUMNS.map((name) => h('th', { scope: 'col' }, name)))),
    h(
      'tbody',
      {},
      ...keys.map((key) =>
        h(
          'tr',
          { 'data-id': key.id },
          ...row(key).map((cell, i) => h('td', { 'data-label': COLUMNS[i] }, cell)),
        ),
      ),
    ),
  );
}

async function revoke(key: ApiKey, reload: () => Promise<void>): Promise<void> {
  const text = `Whatever uses “${key.name}” stops working at once, browsers that logged in with it too.`;
  if (!(await confirmed('Revoke this key?', text, 'Revoke'))) return;
  await request('DELETE', `/api/keys/${key.id}`);
  await reload();
}
