/** What Uppy and the browser tell of running uploads, as changes of `LocalUpload`. */
import type { Body, Meta, Uppy } from '@uppy/core';
import type { TusBody } from '@uppy/tus';
import { createSpeedometer, type LocalUpload } from './local-upload.ts';
import { statusOf, stoppedBecause } from './rules.ts';

export interface Followed {
  change: (fileId: string, changes: Partial<LocalUpload>) => void;
  finished: (fileId: string) => void;
  restored: () => void;
}

/** Follows what Uppy tells of the files. */
export function followFiles(uppy: Uppy<Meta, Body>, { change, finished, restored }: Followed): void {
  const speeds = new Map<string, ReturnType<typeof createSpeedometer>>();
  uppy.on('file-added', (file) => {
    uppy.setFileMeta(file.id, { filename: file.name, filetype: file.type });
    change(file.id, { state: 'queued' });
  });
  uppy.on('upload-progress', (file, progress) => {
    if (!file) return;
    const speed = speeds.get(file.id) ?? createSpeedometer();
    speeds.set(file.id, speed);
    const sent = Number(progress.bytesUploaded) || 0;
    change(file.id, { state: file.isPaused ? 'paused' : 'sending', sent, bytesPerSecond: speed(sent) });
  });
  uppy.on('upload-pause', (file, isPaused) => {
    if (file) change(file.id, { state: isPaused ? 'paused' : 'queued', bytesPerSecond: undefined });
  });
  uppy.on('upload-error', (file, error, response) => {
    if (!file) return;
    const status = response?.status ?? statusOf(error as object);
    const xhr = (response?.body as TusBody | undefined)?.xhr;
    change(file.id, { state: 'failed', message: stoppedBecause(status, detailOf(xhr?.responseText)) });
  });
  uppy.on('upload-success', (file) => {
    if (!file) return;
    change(file.id, { state: 'sending', sent: file.size ?? 0 });
    // Not at once: the Tus plugin would take the removal for a cancel and DELETE what was just uploaded.
    setTimeout(() => finished(file.id));
  });
  uppy.on('restored', () => {
    uppy.setState({ recoveredState: null, currentUploads: {} });
    // Files without their bytes are offered from the stored URLs: see resume.ts.
    for (const file of uppy.getFiles())
      if (file.isGhost || file.progress.uploadComplete) uppy.removeFile(file.id);
    restored();
  });
}

/** A cut that the browser knows of need not wait for a timeout; what was paused by it goes on by itself. */
export function pauseOffline(
  uppy: Uppy<Meta, Body>,
  uploads: ReadonlyMap<string, LocalUpload>,
  change: (fileId: string, changes: Partial<LocalUpload>) => void,
): void {
  addEventListener('offline', () => {
    for (const { fileId, state } of [...uploads.values()]) {
      if (state === 'paused' || state === 'failed' || uppy.getFile(fileId).isPaused) continue;
      uppy.pauseResume(fileId);
      change(fileId, { state: 'waiting' });
    }
  });
  addEventListener('online', () => {
    for (const { fileId, state } of [...uploads.values()])
      if (state === 'waiting' && uppy.getFile(fileId).isPaused) uppy.pauseResume(fileId);
  });
}

/** The sentence of a problem+json answer. */
function detailOf(text: string | undefined): string | undefined {
  try {
    const problem = JSON.parse(text ?? '') as { detail?: unknown };
    return typeof problem.detail === 'string' ? problem.detail : undefined;
  } catch {
    return undefined; // not from Millrace, e.g. a proxy's error page
  }
}
