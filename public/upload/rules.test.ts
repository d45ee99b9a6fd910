import { guardResume, isTransient, ResumeError, statusOf, stoppedBecause } from './rules.ts';

describe('guardResume', () => {
  it.each([401, 403, 409, 412, 429, 500, 502, 503, 504])(
    'keeps the stored URL when HEAD answers %d',
    (status) => {
      expect(() => guardResume('HEAD', status)).toThrow(ResumeError);
    },
  );

  it.each([200, 204, 423, 404, 410])('lets the client deal with %d', (status) => {
    expect(() => guardResume('HEAD', status)).not.toThrow();
  });

  it('is only about HEAD', () => {
    expect(() => guardResume('PATCH', 500)).not.toThrow();
    expect(() => guardResume('POST', 503)).not.toThrow();
  });
});

describe('isTransient', () => {
  it.each([0, 408, 409, 423, 429, 500, 503])('%d is retried', (status) =>
    expect(isTransient(status)).toBe(true),
  );
  it.each([400, 401, 403, 404, 410, 413, 415, 460])('%d is not', (status) =>
    expect(isTransient(status)).toBe(false),
  );
});

describe('statusOf', () => {
  it('reads the answer, the guarded answer, or nothing', () => {
    expect(statusOf({ originalResponse: { getStatus: () => 413 } })).toBe(413);
    expect(statusOf({ originalResponse: null, causingError: new ResumeError(401) })).toBe(401);
    expect(statusOf({ originalResponse: null, causingError: new Error('network') })).toBe(0);
  });
});

describe('stoppedBecause', () => {
  it('prefers the server’s sentence, except for a lost session', () => {
    expect(stoppedBecause(413, 'At most 5 GB.')).toBe('At most 5 GB.');
    expect(stoppedBecause(401, 'No key.')).toMatch(/Log in again/);
    expect(stoppedBecause(0)).toMatch(/kept/);
  });
});
