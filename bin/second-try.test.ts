import { merged, worthTrying } from './second-try.mjs';

const failed = (...files: [path: string, failed: number][]) => ({
  code: 1,
  passed: 100,
  failed: files.reduce((sum, [, count]) => sum + count, 0),
  skipped: 0,
  failedFiles: files.map(([path, count]) => ({ path, failed: count })),
});
const green = { code: 0, passed: 7, failed: 0, skipped: 0, failedFiles: [] };

it('tries a few files again, and not many', () => {
  expect(worthTrying(green)).toEqual([]);
  expect(worthTrying(failed(['a', 1], ['b', 9]))).toEqual(['a', 'b']);
  expect(worthTrying(failed(['a', 1], ['b', 1], ['c', 1], ['d', 1]))).toEqual([]);
});

it('passes, and names the files, when all of them pass by themselves', () => {
  const { result, unsteady } = merged(failed(['a', 1], ['b', 2]), green);
  expect(result).toEqual({ code: 0, passed: 103, failed: 0, skipped: 0, failedFiles: [] });
  expect(unsteady).toEqual(['a', 'b']);
});

it('fails for what fails twice, whatever else passed', () => {
  const { result, unsteady } = merged(failed(['a', 1], ['b', 2]), failed(['b', 1]));
  expect(result).toMatchObject({ code: 1, passed: 101, failed: 2 });
  expect(unsteady).toEqual(['a']);
});

it('fails when the second run could not even begin', () => {
  const broken = { code: 1, passed: 0, failed: 1, skipped: 0, failedFiles: [] };
  expect(merged(failed(['a', 1]), broken)).toEqual({ result: failed(['a', 1]), unsteady: [] });
});

it('fails when jest does for another reason than a test', () => {
  expect(merged(failed(['a', 1]), { ...green, code: 1 }).result.code).toBe(1);
});
