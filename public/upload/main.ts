/** The upload page. */
import { goToLogin, whoAmI } from '../api/client.ts';
import { openFeed } from '../api/feed.ts';
import { h } from '../ui/dom.ts';
import { openPage, start } from '../ui/page.ts';
import type { LocalUpload } from './local-upload.ts';
import { createOffers } from './resume.ts';
import { createRows } from './rows.ts';
import { fingerprintOf } from './tus-options.ts';
import { createUploader } from './uploader.ts';
import { createUploadStorage } from './url-storage.ts';
import '../styles/upload.css';

start(async () => {
  const me = await whoAmI();
  if (!me) return goToLogin();
  const main = openPage(me, 'upload');
  const banners = h('div', { class: 'offers', hidden: true, 'aria-live': 'polite' });
  const dropArea = h('div', { class: 'drop-area' });
  const locals = new Map<string, LocalUpload>();
  const storage = createUploadStorage(localStorage, me.owner);

  const rows = createRows(me.owner, {
    pause: (fileId) => uploader.pause(fileId),
    resume: (fileId) => uploader.resume(fileId),
    retry: (fileId) => uploader.retry(fileId),
    cancel: (fileId) => uploader.cancel(fileId),
  });
  main.append(h('h1', {}, 'Upload'), banners, dropArea, rows.element);

  const uploader = createUploader(dropArea, me, storage, {
    onChange(upload) {
      locals.set(upload.fileId, upload);
      rows.local(upload);
      offers.withdraw(upload.fileId);
    },
    onGone(fileId) {
      locals.delete(fileId);
      rows.localGone(fileId);
    },
    onRestored: () => void offers.refresh(),
  });
  const offers = createOffers(banners, storage, uploader, (fingerprint) =>
    [...locals.keys()].some((fileId) => fingerprintOf(fileId) === fingerprint),
  );
  warnBeforeLeaving(() => [...locals.values()].some((u) => u.state === 'sending' || u.state === 'waiting'));

  openFeed('/api/events', { onEvent: (event) => rows.event(event), onGap: () => rows.load() });
  await Promise.all([rows.load(), offers.refresh()]);
});

/** Nothing is lost by leaving, but the upload stops. */
function warnBeforeLeaving(isBusy: () => boolean): void {
  addEventListener('beforeunload', (event) => {
    if (isBusy()) event.preventDefault();
  });
}
