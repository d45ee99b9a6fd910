import { safeNext } from './next.ts';

describe('safeNext', () => {
  it.each([
    [null, '/'],
    ['', '/'],
    ['/watch/abc?t=1', '/watch/abc?t=1'],
    ['https://evil.example/', '/'],
    ['//evil.example/x', '/'],
    ['/\\evil.example', '/'],
    ['javascript:alert(1)', '/'],
    ['http://[', '/'],
    ['/login?next=/login', '/'],
  ])('%s becomes %s', (next, path) => expect(safeNext(next, 'http://localhost:8080', '/')).toBe(path));

  it.each([
    [null, '/media/'],
    ['/media/watch/abc?t=1', '/media/watch/abc?t=1'],
    ['/mail', '/media/'],
    ['/media/../mail', '/media/'],
    ['/media/login?next=/media/', '/media/'],
  ])('%s becomes %s where the pages begin at /media/', (next, path) =>
    expect(safeNext(next, 'http://localhost:8080', '/media/')).toBe(path),
  );
});
