import fc from 'fast-check';
import { planParts } from './copy-plan.ts';

it('takes every byte once and in order, in equal parts but for the last', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(60), { maxLength: 12 }),
      fc.integer({ min: 1, max: 25 }),
      (sizes, partSize) => {
        const sources = sizes.map((size, source) =>
          Array.from({ length: size }, (_, at) => `${source}:${at}`),
        );
        const parts = planParts(sizes, partSize).map((part) =>
          part.flatMap(({ source, start, end }) => sources[source]?.slice(start, end + 1) ?? []),
        );
        expect(parts.flat()).toEqual(sources.flat());
        expect(parts.slice(0, -1).every((part) => part.length === partSize)).toBe(true);
        expect(parts.every((part) => part.length > 0 && part.length <= partSize)).toBe(true);
      },
    ),
  );
});

it('leaves to be joined what goes over a border, and copies all else', () => {
  expect(planParts([10, 0, 3, 4], 5)).toEqual([
    [{ source: 0, start: 0, end: 4 }],
    [{ source: 0, start: 5, end: 9 }],
    [
      { source: 2, start: 0, end: 2 },
      { source: 3, start: 0, end: 1 },
    ],
    [{ source: 3, start: 2, end: 3 }],
  ]);
});
