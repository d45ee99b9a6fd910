import type { Source, SourceVideo } from '../../media/source.ts';
import { isCut, partsOf } from './parts.ts';

const source = (end: number): Source => ({
  ...{ size: 1, container: 'mov,mp4,m4a,3gp,3g2,mj2', duration: end, audio: [], subtitles: [] },
  video: { end, frameRate: 25, variableFrameRate: false } as SourceVideo,
});
const settings = (processors: number, longestChunk = 60) => ({
  ...{ processors, longestChunk, concurrency: 2, threads: 0 },
});
const LENGTHS = [10, 29, 30, 60, 119, 120, 600];

describe('a source', () => {
  it.each([
    ['many cores', 8, {}, [30, 60, 119, 120, 600]],
    ['few cores, which one FFmpeg fills', 2, {}, [120, 600]],
    ['few cores, beside another encoder', 2, { beside: true }, [30, 60, 119, 120, 600]],
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

  it('has a head and one long part where cores are few, and its key frames are not looked for', async () => {
    let asked = 0;
    const find = (): Promise<number[]> => Promise.resolve([0, 17]).finally(() => asked++);
    const startsOf = async (end: number, processors: number): Promise<number[]> =>
      (await partsOf(source(end).video!, settings(processors), find)).map(({ start }) => start);
    expect(await startsOf(60, 2)).toEqual([0, 2]);
    expect(asked).toBe(0);
    expect((await startsOf(120, 2)).length).toBeGreaterThan(3);
    expect((await startsOf(60, 8)).length).toBeGreaterThan(3);
    expect(asked).toBe(2);
  });
});
