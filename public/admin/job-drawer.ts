/** The details of one job, in a drawer at the side. */
import { ApiError, request } from '../api/client.ts';
import { createRefresher } from '../api/refresher.ts';
import type { Job } from '../api/types.ts';
import { actionButton } from '../ui/button.ts';
import { h } from '../ui/dom.ts';
import { dateTime } from '../ui/format.ts';
import { statusBadge } from '../ui/status.ts';
import { progressText } from '../upload/view.ts';
import { mediaLink, took, waits } from './jobs-table.ts';

export interface JobDrawer {
  open(jobId: string): void;
  close(): void;
  /** Reads the job again if it is the one that is shown. */
  touch(jobId: string): void;
}

/** `onClose` is called however it is closed. */
export function createJobDrawer(onClose: () => void): JobDrawer {
  let shown: string | undefined;
  const content = h('div', { class: 'drawer-content' });
  const dialog = h(
    'dialog',
    { class: 'drawer', 'aria-label': 'Job', onclose: closed, onclick: closeOutside },
    content,
  );
  document.body.append(dialog);

  function closed(): void {
    shown = undefined;
    onClose();
  }

  function closeOutside(event: Event): void {
    if (event.target === dialog) dialog.close();
  }

  const refresher = createRefresher(async (id) => {
    const job = await read(id);
    if (shown === id) content.replaceChildren(...body(job, () => dialog.close()));
  });

  return {
    open(jobId) {
      if (shown === jobId) return;
      shown = jobId;
      content.replaceChildren(h('p', { class: 'muted' }, 'Loading …'));
      if (!dialog.open) dialog.showModal();
      refresher.ask(jobId);
    },
    close: () => dialog.close(),
    touch: (jobId) => void (shown === jobId && refresher.ask(jobId)),
  };
}

async function read(id: string): Promise<Job | undefined> {
  try {
    return await request<Job>('GET', `/api/jobs/${encodeURIComponent(id)}`);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

function body(job: Job | undefined, close: () => void): HTMLElement[] {
  const closeButton = actionButton({ label: 'Close', icon: 'close', kind: 'quiet', run: close });
  if (!job) return [h('div', { class: 'drawer-head' }, h('h2', {}, 'No such job'), closeButton)];
  return [
    h('div', { class: 'drawer-head' }, h('h2', {}, job.task), statusBadge(job.status), closeButton),
    facts(job),
    ...(job.error ? [errorOf(job)] : []),
    buttons(job),
    ...(job.logTail
      ? [h('h3', {}, 'Last lines of the log'), h('pre', { class: 'log', tabindex: 0 }, job.logTail)]
      : []),
  ];
}

function facts(job: Job): HTMLElement {
  const rows: [string, string | HTMLElement][] = [
    ['Attempts', `${job.attempts} of ${job.maxAttempts}`],
    ['Progress', job.progress ? progressText(job.progress) : '–'],
    ['Took', took(job)],
    ['Created', dateTime(job.createdAt)],
    ...(waits(job) ? [['Waits until', dateTime(job.runAt)] satisfies [string, string]] : []),
    ['Started', job.startedAt ? dateTime(job.startedAt) : '–'],
    ['Finished', job.finishedAt ? dateTime(job.finishedAt) : '–'],
    ['Owner', job.owner ?? '–'],
    ['Media', job.mediaId ? mediaLink(job.mediaId) : '–'],
    ['ID', job.id],
  ];
  return h(
    'dl',
    { class: 'facts' },
    ...rows.flatMap(([term, value]) => [h('dt', {}, term), h('dd', {}, value)]),
  );
}

function errorOf(job: Job): HTMLElement {
  const { code, message, exitStatus } = job.error!;
  return h(
    'div',
    { class: 'notice bad' },
    h(
      'div',
      { class: 'notice-body' },
      h('p', {}, message),
      h('p', {}, h('code', {}, code), exitStatus ? ` · exit status ${exitStatus}` : ''),
    ),
  );
}

function buttons(job: Job): HTMLElement {
  const post = (verb: string) => () => request<void>('POST', `/api/jobs/${job.id}/${verb}`);
  const over = job.status === 'failed' || job.status === 'cancelled';
  const busy = job.status === 'queued' || job.status === 'running';
  return h(
    'div',
    { class: 'tools' },
    over && actionButton({ label: 'Retry', icon: 'retry', kind: 'primary', run: post('retry') }),
    busy && actionButton({ label: 'Cancel', icon: 'close', run: post('cancel') }),
  );
}
