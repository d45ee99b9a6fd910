/** “Resume this upload?”: offers uploads of earlier visits that were not finished. */
import { ApiError, request } from '../api/client.ts';
import type { Media } from '../api/types.ts';
import { actionButton } from '../ui/button.ts';
import { fill, h } from '../ui/dom.ts';
import { percent, size } from '../ui/format.ts';
import { icon } from '../ui/icons.ts';
import { toast } from '../ui/page.ts';
import { fingerprintOf, mediaIdOf } from './tus-options.ts';
import type { Uploader } from './uploader.ts';
import type { StoredUpload, UploadStorage } from './url-storage.ts';

export interface Offers {
  /** Offers every unfinished upload that this browser remembers and does not send now. */
  refresh(): Promise<void>;
  /** It is being sent: no need to offer it any more. */
  withdraw(fileId: string): void;
}

interface Offer {
  upload: StoredUpload;
  /** Undefined when the server could not be asked. */
  media: Media | undefined;
}

/** `isSending` tells by fingerprint what this tab uploads now. */
export function createOffers(
  target: HTMLElement,
  storage: UploadStorage,
  uploader: Uploader,
  isSending: (fingerprint: string) => boolean,
): Offers {
  let offers: Offer[] = [];
  let refreshes = 0;

  function show(): void {
    offers = offers.filter(({ upload }) => !isSending(upload.fingerprint));
    target.hidden = offers.length === 0;
    fill(target, ...offers.map((offer) => banner(offer, storage, uploader, () => drop(offer))));
  }

  function drop(offer: Offer): void {
    offers = offers.filter((other) => other !== offer);
    show();
  }

  return {
    async refresh() {
      const refresh = ++refreshes;
      const found = await Promise.all(storage.all().map((upload) => unfinished(upload, storage)));
      if (refresh !== refreshes) return; // a later one knows better
      offers = found.filter((offer) => offer !== undefined);
      show();
    },
    withdraw(fileId) {
      if (offers.some(({ upload }) => upload.fingerprint === fingerprintOf(fileId))) show();
    },
  };
}

/** The offer, or undefined when there is nothing to resume: then the stored upload is forgotten. */
async function unfinished(upload: StoredUpload, storage: UploadStorage): Promise<Offer | undefined> {
  try {
    const media = await request<Media>('GET', `/api/media/${mediaIdOf(upload.uploadUrl)}`);
    if (media.status === 'uploading') return { upload, media };
  } catch (error) {
    // Only a clear "gone" forgets a stored upload.
    const gone = error instanceof ApiError && (error.status === 404 || error.status === 410);
    if (!gone) return { upload, media: undefined };
  }
  storage.forget(upload.fingerprint);
  return undefined;
}

function banner(offer: Offer, storage: UploadStorage, uploader: Uploader, done: () => void): HTMLElement {
  const { upload, media } = offer;
  const name = upload.metadata.filename ?? media?.filename ?? 'a file';
  // The browser may still have the file itself; otherwise it has to be picked again.
  const kept = uploader.restored().find((fileId) => fingerprintOf(fileId) === upload.fingerprint);
  const input = picker(upload, name, (file) => uploader.add(file));

  async function discard(): Promise<void> {
    if (kept !== undefined) await uploader.cancel(kept);
    else if (media) await request('POST', `/api/media/${media.id}/cancel`);
    storage.forget(upload.fingerprint);
    done();
  }

  const resume =
    kept === undefined
      ? actionButton({ label: 'Choose the file', kind: 'primary', run: () => input.click() })
      : actionButton({ label: 'Resume', kind: 'primary', run: () => uploader.retry(kept) });
  return h(
    'div',
    { class: 'notice resume' },
    icon('retry', 20),
    h(
      'div',
      { class: 'notice-body' },
      h('p', {}, h('strong', {}, 'Resume this upload?')),
      h('p', { class: 'truncate', title: name }, name),
      h(
        'p',
        { class: 'muted' },
        sentOf(offer),
        kept === undefined && ' Choose the same file again to go on.',
      ),
    ),
    h(
      'div',
      { class: 'notice-actions' },
      resume,
      actionButton({ label: 'Discard', kind: 'quiet', run: discard }),
    ),
    input,
  );
}

function sentOf({ upload, media }: Offer): string {
  if (!media?.upload || !upload.size) return 'What was sent so far is kept.';
  return `${percent((media.upload.offset / upload.size) * 100)} of ${size(upload.size)} is sent.`;
}

function picker(upload: StoredUpload, name: string, picked: (file: File) => void): HTMLInputElement {
  const input = h('input', {
    type: 'file',
    class: 'visually-hidden',
    tabindex: -1,
    'aria-hidden': 'true',
    onchange: () => {
      const file = input.files?.[0];
      input.value = '';
      if (file && isSame(file, upload)) picked(file);
      else if (file) toast(`That is not the same file: “${name}” has another name, size or date.`, 'bad');
    },
  });
  return input;
}

/** Name, size and date of change are what the fingerprint is made of. */
function isSame(file: File, upload: StoredUpload): boolean {
  return (
    file.name === upload.metadata.filename &&
    file.size === upload.size &&
    upload.fingerprint.includes(`-${file.size}-${file.lastModified}-`)
  );
}
