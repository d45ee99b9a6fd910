import type { Job, Media } from '../api/types.ts';
import type { LocalUpload } from './local-upload.ts';
import { viewOf } from './view.ts';

const media = (changes: Partial<Media>): Media => ({
  id: 'm',
  status: 'processing',
  title: 'A film',
  owner: 'me',
  createdAt: '2026-01-01T00:00:00Z',
  visibility: 'private',
  filename: 'film.mp4',
  upload: { offset: 50, length: 200 },
  source: null,
  outputs: [],
  playback: null,
  progress: null,
  ...changes,
});

const job = (task: string, changes: Partial<Job> = {}): Job => ({
  id: task,
  task,
  status: 'queued',
  attempts: 0,
  maxAttempts: 5,
  mediaId: 'm',
  owner: 'me',
  runAt: '2026-01-01T00:00:00Z',
  progress: null,
  createdAt: '2026-01-01T00:00:00Z',
  startedAt: null,
  finishedAt: null,
  ...changes,
});

const local: LocalUpload = {
  fileId: 'f',
  name: 'film.mp4',
  size: 1024 * 1024,
  sent: 512 * 1024,
  state: 'sending',
  bytesPerSecond: 64 * 1024,
};

describe('viewOf', () => {
  it('shows what this tab sends, with speed and time left', () => {
    const view = viewOf({ local, media: media({ status: 'uploading' }), jobs: [] });
    expect(view).toMatchObject({
      title: 'film.mp4',
      label: 'Uploading',
      bar: 50,
      actions: ['pause', 'cancel-upload'],
    });
    expect(view.detail).toBe('50% of 1 MB · 64 KB/s · 10 s left');
  });

  it('goes over to the media once the server has all of it', () => {
    expect(viewOf({ local, media: media({}), jobs: [] }).label).toBe('Processing');
  });

  it('shows an upload that another browser sends', () => {
    expect(viewOf({ media: media({ status: 'uploading' }), jobs: [] })).toMatchObject({
      bar: 25,
      detail: '25% of 200 bytes',
      actions: ['cancel'],
    });
  });

  it('shows the steps and the progress of the encode', () => {
    const progress = { percent: 45.6, speed: 2.34, stage: 'Encoding 480p' };
    const view = viewOf({
      media: media({}),
      jobs: [
        job('probe', { status: 'succeeded' }),
        job('ladder', { status: 'running', progress }),
        job('poster'),
      ],
    });
    expect(view.bar).toBe(45.6);
    expect(view.detail).toBe('Encoding 480p · 45% · 2.3× real time');
    expect(view.steps.map((s) => [s.label, s.tone])).toEqual([
      ['Check', 'good'],
      ['Encode', 'busy'],
      ['Poster', 'quiet'],
    ]);
  });

  it('shows an encode in parts as running until they are joined', () => {
    const toneOf = (...jobs: Job[]) =>
      viewOf({ media: media({ status: 'playable' }), jobs }).steps.map((s) => [s.label, s.tone]);
    const ended = (task: string) => job(task, { status: 'succeeded' });
    for (const open of [job('chunk', { status: 'running' }), job('chunk'), job('join')]) {
      expect(toneOf(ended('ladder'), ended('chunk'), open)).toEqual([['Encode', 'busy']]);
      expect(toneOf(ended('first'), job('ladder'), open)).toEqual([
        ['First', 'busy'],
        ['Encode', 'quiet'],
      ]);
    }
    expect(toneOf(ended('ladder'), ended('chunk'), ended('join'))).toEqual([['Encode', 'good']]);
  });

  it('says that it waits for a worker', () => {
    const progress = { percent: 0, step: 'probe' };
    for (const waiting of [media({}), media({ progress })])
      expect(viewOf({ media: waiting, jobs: [job('probe')] }).detail).toBe('Waiting for a worker');
    expect(viewOf({ media: media({}), jobs: [job('probe')] })).toMatchObject({
      detail: 'Waiting for a worker',
      bar: undefined,
    });
  });

  it('says why it failed and offers to try again', () => {
    const error = { code: 'encode_failed', message: 'FFmpeg failed.' };
    expect(viewOf({ media: media({ status: 'failed', error }), jobs: [] })).toMatchObject({
      error: error.message,
      actions: ['retry', 'delete'],
      bar: null,
    });
  });

  it('offers no other try at what is no video or sound', () => {
    const error = { code: 'not_media', message: 'This is not a video or sound file.' };
    expect(viewOf({ media: media({ status: 'failed', error }), jobs: [] })).toMatchObject({
      error: error.message,
      actions: ['delete'],
    });
  });

  it('offers to watch as soon as that works', () => {
    expect(viewOf({ media: media({ status: 'playable' }), jobs: [] }).watch).toBe(true);
    expect(viewOf({ media: media({ status: 'ready' }), jobs: [] }).watch).toBe(true);
    expect(viewOf({ media: media({}), jobs: [] }).watch).toBe(false);
  });
});
