/** What the owner may do: rename, choose who sees it, copy the link, delete. */
import { request, sentenceOf } from '../api/client.ts';
import { at } from '../api/root.ts';
import type { Media, Visibility } from '../api/types.ts';
import { actionButton } from '../ui/button.ts';
import { copyText } from '../ui/copy.ts';
import { confirmed } from '../ui/dialog.ts';
import { h } from '../ui/dom.ts';
import { icon } from '../ui/icons.ts';
import { toast } from '../ui/page.ts';

const VISIBILITIES: Record<Visibility, string> = {
  private: 'Private: only you',
  unlisted: 'Unlisted: who has the link',
  public: 'Public: everybody',
};

/** The row of tools below the title. Viewers who may not change the media only get the link and `files`. */
export function tools(media: Media, mayChange: boolean, files: HTMLElement): HTMLElement {
  const copy = actionButton({
    label: 'Copy link',
    icon: 'link',
    async run() {
      await copyText(location.origin + location.pathname);
      toast('Link copied.');
    },
  });
  if (!mayChange) return h('div', { class: 'tools' }, copy, files);
  const remove = actionButton({
    label: 'Delete',
    icon: 'trash',
    kind: 'quiet',
    run: () => deleteThis(media),
  });
  return h('div', { class: 'tools' }, visibility(media), copy, files, remove);
}

/** What its owner should know of a media that plays all the same: our encoder could not make it, Stream has it. */
export function besideNote({ status, error }: Media): HTMLElement | null {
  if (status === 'failed' || !error) return null;
  return h(
    'p',
    { class: 'muted beside-note' },
    'It plays from Cloudflare Stream; it could not be encoded here: ',
    error.message,
    ' (',
    h('code', {}, error.code),
    ')',
  );
}

/** Links to the files that were made for keeping. */
export function downloads({ playback }: Media): HTMLElement[] {
  const { mp4, m4a } = playback?.downloads ?? {};
  const link = (url: string, label: string): HTMLElement =>
    h('a', { class: 'button', href: url, download: true }, icon('download', 16), label);
  return [...(mp4 ? [link(mp4, 'Video')] : []), ...(m4a ? [link(m4a, 'Sound')] : [])];
}

function visibility(media: Media): HTMLElement {
  const select = h(
    'select',
    { 'aria-label': 'Who can watch this', onchange: () => void change() },
    ...Object.entries(VISIBILITIES).map(([value, label]) =>
      h('option', { value, selected: value === media.visibility }, label),
    ),
  );
  async function change(): Promise<void> {
    const before = media.visibility;
    try {
      await request('PATCH', `/api/media/${media.id}`, { visibility: select.value });
      media.visibility = select.value as Visibility;
      toast('Saved.');
    } catch (error) {
      select.value = before;
      toast(sentenceOf(error), 'bad');
    }
  }
  return select;
}

async function deleteThis(media: Media): Promise<void> {
  if (!(await confirmed('Delete this media?', `“${media.title}” can’t be brought back.`, 'Delete'))) return;
  await request('DELETE', `/api/media/${media.id}`);
  location.assign(at('/'));
}

/** The title; its owner can edit it in place. */
export function titleOf(media: Media, mayChange: boolean): HTMLElement {
  if (!mayChange) return h('h1', { class: 'media-title', dir: 'auto' }, media.title);
  const title = h(
    'span',
    {
      class: 'editable',
      contenteditable: 'plaintext-only',
      role: 'textbox',
      spellcheck: 'false',
      title: 'Edit the title, then press Enter',
      'aria-label': 'Title',
    },
    media.title,
  );
  title.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') title.textContent = media.title;
    if (event.key === 'Enter' || event.key === 'Escape') {
      event.preventDefault();
      title.blur();
    }
  });
  title.addEventListener('blur', () => void save());
  async function save(): Promise<void> {
    const text = (title.textContent ?? '').replace(/\s+/g, ' ').trim();
    if (!text || text === media.title) return void (title.textContent = media.title);
    try {
      await request('PATCH', `/api/media/${media.id}`, { title: text });
      media.title = text;
      document.title = `${text} · Millrace`;
      toast('Saved.');
    } catch (error) {
      toast(sentenceOf(error), 'bad');
    }
    title.textContent = media.title;
  }
  return h('h1', { class: 'media-title', dir: 'auto' }, title);
}
