import { ConfigError, loadConfig } from './config.ts';

describe('loadConfig', () => {
  it('needs nothing', () => {
    const config = loadConfig({});
    expect(config).toMatchObject({ port: 8080, role: 'all', storage: { driver: 'disk' } });
    expect(config.database.url).toBeUndefined();
    expect(config.encoding.ladder).toEqual([1080, 720, 480, 360]);
    expect(config.encoding.codecs).toEqual(['h264']);
  });

  it('reads sizes, durations and flags as people write them', () => {
    const config = loadConfig({
      UPLOAD_MAX_SIZE: '2 GB',
      UPLOAD_EXPIRES: '7 days',
      JOB_LEASE: '45',
      UPLOAD_FSYNC: 'off',
      LADDER: '480, 1080',
    });
    expect(config.uploads).toMatchObject({ maxSize: 2 * 1024 ** 3, expiresMs: 7 * 86_400_000, fsync: false });
    expect(config.jobs.leaseMs).toBe(45_000);
    expect(config.encoding.ladder).toEqual([1080, 480]);
  });

  it("puts the bucket in the path for an endpoint of one's own, unless told otherwise", () => {
    const style = (env: Record<string, string>) => loadConfig(env).storage.s3.forcePathStyle;
    expect(style({})).toBe(false);
    expect(style({ S3_ENDPOINT: 'http://localhost:9000' })).toBe(true);
    expect(style({ S3_ENDPOINT: 'http://localhost:9000', S3_FORCE_PATH_STYLE: 'no' })).toBe(false);
  });

  it('takes an empty variable for an absent one', () => {
    expect(loadConfig({ DATABASE_URL: '', PORT: ' ' }).port).toBe(8080);
  });

  it('encodes H.264 whatever else', () => {
    expect(loadConfig({ CODECS: 'h264, av1' }).encoding.codecs).toEqual(['h264', 'av1']);
    expect(failure({ CODECS: 'hevc' })).toContain('CODECS must have h264');
    expect(failure({ CODECS: 'h264,vp9' })).toContain('CODECS');
  });

  it('names everything that is wrong at once', () => {
    const wrong = { PORT: '99999', STORAGE: 'ftp', UPLOAD_MAX_SIZE: 'much', ADMIN_KEY: 'a b', LADDER: 'big' };
    const problems = failure(wrong);
    for (const name of Object.keys(wrong)) expect(problems).toContain(name);
  });

  it('takes proxies and origins as they are written', () => {
    const trusted = (TRUST_PROXY: string) => loadConfig({ TRUST_PROXY }).trustProxy;
    expect(trusted('2')).toBe(2);
    for (const networks of ['10.0.0.0/8, loopback', '2001:db8::/32', '192.168.0.0/255.255.0.0'])
      expect(trusted(networks)).toBe(networks);
    const CORS_ORIGINS = 'https://a.example, http://localhost:3000';
    expect(loadConfig({ CORS_ORIGINS }).corsOrigins).toEqual(['https://a.example', 'http://localhost:3000']);
  });

  it.each([
    [{ STORAGE: 's3' }, 'S3_BUCKET is missing'],
    [{ S3_ACCESS_KEY: 'x' }, 'S3_ACCESS_KEY and S3_SECRET_KEY go together'],
    [{ ROLE: 'worker' }, 'DATABASE_URL is missing'],
    [{ ROLE: 'server', DATABASE_URL: 'postgresql://localhost/x' }, 'STORAGE must be s3'],
    [{ DATABASE_URL: 'mysql://localhost' }, 'DATABASE_URL must start with postgresql://'],
    [{ LADDER: 'big' }, 'LADDER must be heights'],
    [{ UPLOAD_EXPIRES: 'soon' }, 'UPLOAD_EXPIRES is not a duration'],
    [{ UPLOAD_MAX_SIZE: '64G' }, 'UPLOAD_MAX_SIZE is not a size'],
    [{ PORT: 'http' }, 'PORT must be a whole number from 0 to 65535'],
    [{ SANDBOX: 'maybe' }, 'SANDBOX must be one of auto, require, off'],
    [{ S3_ENDPOINT: 'localhost:9000' }, 'S3_ENDPOINT must be an address with http:// or https://'],
    [{ TRUST_PROXY: 'nginx' }, 'TRUST_PROXY must be false, the number of proxies'],
    [{ CORS_ORIGINS: 'https://a.example/' }, 'CORS_ORIGINS must be * or origins'],
  ])('refuses %j', (env, message) => {
    expect(failure(env)).toContain(message);
  });
});

function failure(env: Record<string, string>): string {
  try {
    loadConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).message;
  }
  throw new Error('it was accepted');
}
