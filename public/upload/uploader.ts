/** Uppy, set up: the drop area, resumable uploads, and files that survive a crash of the browser. */
import Uppy, { type Body, type Meta } from '@uppy/core';
import Dashboard from '@uppy/dashboard';
import GoldenRetriever from '@uppy/golden-retriever';
import Tus from '@uppy/tus';
import { request } from '../api/client.ts';
import type { Me } from '../api/types.ts';
import { size } from '../ui/format.ts';
import { followFiles, pauseOffline } from './follow.ts';
import type { LocalUpload } from './local-upload.ts';
import { fingerprintOf, mediaIdOf, tusOptions } from './tus-options.ts';
import type { UploadStorage } from './url-storage.ts';
import '@uppy/core/css/style.min.css';
import '@uppy/dashboard/css/style.min.css';

export interface Uploader {
  /** Adds a picked file; goes on where an upload of the same file stopped. Throws when Uppy refuses it. */
  add(file: File): void;
  pause(fileId: string): void;
  resume(fileId: string): void;
  /** After a failure, or for a file that was restored after a crash. */
  retry(fileId: string): void;
  /** Stops sending and deletes what the server has of it. */
  cancel(fileId: string): Promise<void>;
  /** Files of an earlier visit whose bytes the browser still has. */
  restored(): string[];
}

export interface UploaderEvents {
  onChange(upload: LocalUpload): void;
  /** No longer sent by this tab: finished or cancelled. */
  onGone(fileId: string): void;
  onRestored(): void;
}

/** GoldenRetriever copies files into the browser's database: not a 40 GB one. Larger files are picked again. */
const KEEP_FILE_BYTES = 256 * 1024 * 1024;
const KEEP_TOTAL_BYTES = 1024 * 1024 * 1024;

/** Files that are kept over a crash are kept for this owner only. */
export function createUploader(
  target: HTMLElement,
  { owner, limits: { maxUploadSize: maxSize } }: Me,
  storage: UploadStorage,
  events: UploaderEvents,
): Uploader {
  const uploads = new Map<string, LocalUpload>();
  const uppy = new Uppy<Meta, Body>({
    id: `millrace-${encodeURIComponent(owner)}`,
    autoProceed: true,
    // A restored file may be dropped again instead of being resumed by its banner: the new one takes its place.
    onBeforeFileAdded: ({ id }, files) => !files[id] || (!!files[id].isRestored && !uploads.has(id)),
    restrictions: { maxFileSize: maxSize },
  });

  function change(fileId: string, changes: Partial<LocalUpload>): void {
    const file = uppy.getFile(fileId);
    if (!file) return;
    const mediaId = mediaIdOf(file.tus?.uploadUrl) ?? uploads.get(fileId)?.mediaId;
    const before = uploads.get(fileId) ?? {
      fileId,
      name: file.name,
      size: file.size ?? 0,
      sent: 0,
      state: 'queued' as const,
    };
    const upload = { ...before, ...(mediaId ? { mediaId } : {}), ...changes };
    uploads.set(fileId, upload);
    events.onChange(upload);
  }

  function leave(fileId: string): void {
    uploads.delete(fileId);
    if (uppy.getFile(fileId)) uppy.removeFile(fileId);
    events.onGone(fileId);
  }

  uppy
    .use(Dashboard, dashboardOptions(target, maxSize))
    .use(
      Tus,
      tusOptions(storage, (fileId) => change(fileId, { state: 'waiting' })),
    )
    .use(GoldenRetriever, keepFiles());
  followFiles(uppy, {
    change,
    finished(fileId) {
      // Uploading the same file once more makes another media.
      storage.forget(fingerprintOf(fileId));
      leave(fileId);
    },
    restored: () => events.onRestored(),
  });
  pauseOffline(uppy, uploads, change);

  const tus = uppy.getPlugin<Tus<Meta, Body>>('Tus');
  return {
    add: (file) => void uppy.addFile({ name: file.name, type: file.type, data: file, source: 'resume' }),
    pause(fileId) {
      if (uppy.getFile(fileId).isPaused) change(fileId, { state: 'paused' });
      else uppy.pauseResume(fileId);
    },
    resume: (fileId) => void (uppy.getFile(fileId).isPaused && uppy.pauseResume(fileId)),
    retry(fileId) {
      change(fileId, { state: 'queued' });
      // How it ends is told by the events.
      uppy.retryUpload(fileId).catch((error: unknown) => uppy.log(error, 'warning'));
    },
    async cancel(fileId) {
      const mediaId = uploads.get(fileId)?.mediaId ?? mediaIdOf(uppy.getFile(fileId)?.tus?.uploadUrl);
      // The Tus plugin sends DELETE when an upload it is busy with is removed; otherwise it has let go of it.
      if (!tus?.uploaders[fileId]) {
        if (mediaId) await request('POST', `/api/media/${mediaId}/cancel`);
        storage.forget(fingerprintOf(fileId));
      }
      leave(fileId);
    },
    restored: () =>
      uppy
        .getFiles()
        .filter((f) => f.isRestored && !uploads.has(f.id))
        .map((f) => f.id),
  };
}

function dashboardOptions(target: HTMLElement, maxSize: number) {
  return {
    target,
    inline: true as const,
    width: '100%',
    height: 190,
    theme: 'auto' as const,
    note: `Up to ${size(maxSize)} per file. An upload that breaks off goes on where it stopped.`,
    // The rows below show the files, before and after they are uploaded.
    showSelectedFiles: false,
    disableStatusBar: true,
    disableThumbnailGenerator: true,
    proudlyDisplayPoweredByUppy: false,
    locale: {
      strings: {
        dropPasteFiles: 'Drop videos or sound here, or %{browseFiles}',
        browseFiles: 'choose files',
      },
    },
  };
}

function keepFiles() {
  const limits = { maxFileSize: KEEP_FILE_BYTES, maxTotalSize: KEEP_TOTAL_BYTES };
  // The plugin hands `indexedDB` to its store as it is; its type names only two of the store's options.
  return { indexedDB: limits as { name?: string } };
}
