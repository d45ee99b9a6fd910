import { readVideo } from './video.ts';

const uid = 'ea95132c15732412d22c1476fa83f27a';
const state = (status: unknown, more: object = {}) => readVideo({ uid, status, ...more })?.state;

describe('a video object', () => {
  it.each([
    [{ state: 'pendingupload' }, 'accepted'],
    [{ state: 'downloading' }, 'accepted'],
    [{ state: 'queued', pctComplete: '0' }, 'accepted'],
    [{ state: 'inprogress', pctComplete: '45' }, 'working'],
    [{ state: 'ready', pctComplete: '39.000000' }, 'playable'],
    [{ state: 'ready', pctComplete: '100.000000' }, 'complete'],
    [{ state: 'ready', pctComplete: '100' }, 'complete'],
    [{ state: 'ready' }, 'complete'],
    [{ state: 'error', errorReasonCode: 'ERR_NON_VIDEO' }, 'failed'],
    [{ state: 'live-inprogress' }, 'unknown'],
    [{ state: 'something new' }, 'unknown'],
    [null, 'unknown'],
    [undefined, 'unknown'],
  ])('with status %j is %s', (status, expected) => {
    expect(state(status)).toBe(expected);
  });

  it('is playable while it is encoded, once it says so', () => {
    expect(state({ state: 'inprogress', pctComplete: '39' }, { readyToStream: true })).toBe('playable');
  });

  it('may have nulls, 0 and -1 for what it does not know', () => {
    const video = readVideo({
      ...{ uid, meta: null, input: { width: -1, height: -1 }, duration: -1, size: 0, playback: null },
      status: { state: 'queued', pctComplete: '', errorReasonCode: null },
    });
    expect(video).toEqual(
      expect.objectContaining({ videoId: uid, attemptId: undefined, percent: undefined }),
    );
    expect([video?.duration, video?.width, video?.size, video?.playback]).toEqual(Array(4).fill(undefined));
  });

  it('names its attempt only by an id that can be one of ours', () => {
    const id = '01a1fd5c-1713-726f-971a-d38e218f6ae1';
    expect(readVideo({ uid, meta: { name: id } })?.attemptId).toBe(id);
    expect(readVideo({ uid, meta: { name: 'puppy.mp4' } })?.attemptId).toBeUndefined();
  });

  it.each([
    [{ errorReasonCode: 'ERR_NON_VIDEO' }, { code: 'not_media', refetch: false }],
    [{ errReasonCode: 'ERR_DURATION_TOO_SHORT' }, { code: 'too_short', refetch: false }],
    [{ errorReasonCode: 'ERR_FETCH_ORIGIN_ERROR' }, { code: 'source_not_fetched', refetch: true }],
    [{ errorReasonCode: 'ERR_OF_TOMORROW' }, { code: 'stream_error', refetch: false }],
    [{}, { code: 'stream_error', refetch: false }],
  ])('says by %j why it failed', (status, expected) => {
    expect(readVideo({ uid, status: { state: 'error', ...status } })?.error).toMatchObject(expected);
  });

  it.each([null, 1, 'x', {}, { uid: '' }, { uid: 7 }, { uid: 'a/b' }])('needs a uid: %j', (value) => {
    expect(readVideo(value)).toBeUndefined();
  });
});
