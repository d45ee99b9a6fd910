/** The table of jobs. */
import { at } from '../api/root.ts';
import type { Job } from '../api/types.ts';
import { actionButton } from '../ui/button.ts';
import { h } from '../ui/dom.ts';
import { dateTime, duration } from '../ui/format.ts';
import { emptyState } from '../ui/page.ts';
import { statusBadge } from '../ui/status.ts';
import { progressText } from '../upload/view.ts';
import { createLiveTable, type LiveTable } from './live-table.ts';
import { created } from './media-table.ts';

export const JOB_FILTERS = ['queued', 'running', 'succeeded', 'failed', 'cancelled'];

/** `open` shows the details of a job. */
export function createJobsTable(open: (jobId: string) => void): LiveTable<Job> {
  return createLiveTable<Job>({
    path: '/api/jobs',
    label: 'Jobs',
    columns: ['Task', 'Status', 'Attempts', 'Took', 'Media', 'Created', ''],
    cells: (job) => [
      h('strong', {}, job.task),
      statusOf(job),
      h('span', { class: 'number' }, `${job.attempts} of ${job.maxAttempts}`),
      h('span', { class: 'number' }, took(job)),
      job.mediaId ? mediaLink(job.mediaId) : '–',
      created(job.createdAt),
      detailsButton(job, open),
    ],
    matches: (job, { status, media }) =>
      (!status || job.status === status) && (!media || job.mediaId === media),
    empty: ({ status, media }) =>
      status || media
        ? emptyState('No jobs like that', 'Choose another status.')
        : emptyState(
            'No jobs yet',
            'Each upload makes some: one looks at the file, one encodes it, one makes its picture.',
          ),
  });
}

/** Ids start with the time: their end tells them apart. */
export const mediaLink = (id: string): HTMLElement =>
  h('a', { href: at(`/watch/${id}`), title: id, class: 'number', 'data-focus': 'media' }, `…${id.slice(-8)}`);

/** It may not run yet: a retry after its pause, or cleaning up for later. */
export const waits = ({ status, runAt }: Job): boolean =>
  status === 'queued' && new Date(runAt).getTime() > Date.now();

function statusOf(job: Job): HTMLElement {
  const progress = job.status === 'running' ? job.progress : null;
  return h(
    'span',
    { class: 'status-cell' },
    statusBadge(job.status),
    progress
      ? h('progress', { class: 'bar', max: 100, value: progress.percent, 'aria-label': 'Progress' })
      : null,
    progress ? h('span', { class: 'muted truncate note' }, progressText(progress)) : null,
    waits(job) ? h('span', { class: 'muted truncate note' }, `until ${dateTime(job.runAt)}`) : null,
    job.error && job.status !== 'succeeded'
      ? h('span', { class: 'muted truncate note', title: job.error.message }, job.error.message)
      : null,
  );
}

/** How long the last attempt ran; for a running one, so far. */
export function took({ startedAt, finishedAt }: Job): string {
  if (!startedAt) return '–';
  const end = finishedAt ? new Date(finishedAt).getTime() : Date.now();
  const seconds = Math.max(0, (end - new Date(startedAt).getTime()) / 1000);
  return seconds < 10
    ? `${seconds.toFixed(1)} s`
    : seconds < 60
      ? `${Math.round(seconds)} s`
      : duration(seconds);
}

function detailsButton(job: Job, open: (jobId: string) => void): HTMLElement {
  const button = actionButton({ label: 'Details', kind: 'quiet', run: () => open(job.id) });
  button.dataset.focus = 'details';
  button.setAttribute('aria-label', `Details of the job ${job.task}`);
  return h('span', { class: 'cell-actions' }, button);
}
