import type { Source, SourceVideo } from '../../media/source.ts';
import { isCut } from './parts.ts';

const source = (end: number): Source => ({
  ...{ size: 1, container: 'mov,mp4,m4a,3gp,3g2,mj2', duration: end, audio: [], subtitles: [] },
  video: { end, frameRate: 25, variableFrameRate: false } as SourceVideo,
});
const settings = (processors: number, longestChunk = 60) => ({
  ...{ processors, longestChunk, concurrency: 2, partThreads: 0 },
});
const LENGTHS = [10, 29, 30, 60, 119, 120, 600];

describe('a source', () => {
  it.each([
    ['many cores', 8, {}, [30, 60, 119, 120, 600]],
    ['few cores, which one FFmpeg fills', 2, {}, [120, 600]],
    ['many cores, while viewers wait', 8, { watched: true }, [120, 600]],
  ])('is cut into parts on %s, from a length on', (_, processors, company, cut) => {
    expect(LENGTHS.filter((end) => isCut(source(end), settings(processors), company))).toEqual(cut);
  });

  it('is cut from twice the longest part on, where that is less', () => {
    expect(LENGTHS.filter((end) => isCut(source(end), settings(2, 12)))).toEqual([29, 30, 60, 119, 120, 600]);
  });

  it('is never cut where that is off, or where it can not be found again', () => {
    const { video, ...rest } = source(600);
    expect(isCut(source(600), settings(8, 0))).toBe(false);
    expect(isCut(rest, settings(8))).toBe(false);
    expect(isCut({ ...rest, video, container: 'mpegts' }, settings(8))).toBe(false);
    expect(isCut({ ...rest, video: { ...video!, variableFrameRate: true } }, settings(8))).toBe(false);
  });
});
