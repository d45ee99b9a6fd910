/** nginx and Caddy with exactly the blocks of docs/deploying.md, and clients of both protocols whose connections to them break. */
import { execa } from 'execa';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DefaultHttpStack, Upload } from 'tus-js-client';
import { blockOf } from './docs.ts';
import { freePort } from './ports.ts';
import { eventually, startServer, type TestServer } from './server.ts';
import { mediaIdOf } from './tus.ts';
import { startCuttingProxy, type CuttingProxy } from './uploads/cutting-proxy.ts';
import { seededRandom } from './uploads/random.ts';
import { NeverAnnouncedError, urlSessionUpload } from './uploads/url-session.ts';

const random = seededRandom('connections to proxies');
const bytes = randomBytes(12_000_000);
const CUTS = { min: 2_000_000, max: 5_000_000 }; // less than half a file: each is cut, also in two parts

/** Replaces what stands in the document by what it is here; each must be there. */
function adapt(block: string, places: Record<string, string>): string {
  for (const [there, here] of Object.entries(places)) {
    if (!block.includes(there)) throw new Error(`the block does not say “${there}”`);
    block = block.replaceAll(there, here);
  }
  return block;
}

interface Ports {
  proxy: number;
  server: number;
}

interface Proxy {
  /** Interim responses reach the client. */
  passes104: boolean;
  /** Writes the configuration; returns the command that runs it. */
  configure(folder: string, ports: Ports): Promise<string[]>;
}

const nginx: Proxy = {
  passes104: false,
  async configure(folder, ports) {
    const block = adapt(await blockOf('deploying.md', '**nginx**', 'nginx'), {
      'listen 443 ': `listen 127.0.0.1:${ports.proxy} `,
      '127.0.0.1:8080': `127.0.0.1:${ports.server}`,
      '/etc/letsencrypt/live/media.example.org': folder,
    });
    const file = join(folder, 'nginx.conf');
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    );
    const main = `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {}`;
    await writeFile(file, `${main}\nhttp { access_log off; ${paths.join(' ')}\n${block}\n}`);
    return ['nginx', '-c', file, '-e', `${folder}/error.log`];
  },
};

const caddy: Proxy = {
  passes104: true,
  async configure(folder, ports) {
    const block = adapt(await blockOf('deploying.md', '**Caddy**', ''), {
      'media.example.org {': `https://localhost:${ports.proxy} {\n\ttls ${folder}/fullchain.pem ${folder}/privkey.pem`,
      '127.0.0.1:8080': `127.0.0.1:${ports.server}`,
    });
    const file = join(folder, 'Caddyfile');
    await writeFile(file, `{\n\tadmin off\n\tauto_https disable_redirects\n}\n${block}`);
    return ['caddy', 'run', '--config', file, '--adapter', 'caddyfile'];
  },
};

/** Header fields by name. */
type Sent = Record<string, string>;

/** What curl says in each protocol. */
const BY_CURL: ({ protocol: string } & Record<'common' | 'creation' | 'append', Sent>)[] = [
  {
    protocol: 'tus 1.0',
    common: { 'Tus-Resumable': '1.0.0' },
    creation: { 'Upload-Length': String(bytes.length) },
    append: { 'Content-Type': 'application/offset+octet-stream' },
  },
  // "careful upload creation": the address is known before the first byte is sent
  {
    protocol: 'the IETF’s draft',
    common: { 'Upload-Draft-Interop-Version': '8' },
    creation: { 'Upload-Complete': '?0' },
    append: { 'Content-Type': 'application/partial-upload', 'Upload-Complete': '?1' },
  },
];

describe.each<[string, Proxy]>([
  ['nginx', nginx],
  ['Caddy', caddy],
])('behind %s', (name, { passes104, configure }) => {
  let folder: string;
  let server: TestServer;
  let proxy: ReturnType<typeof execa>;
  let cutting: CuttingProxy;
  let origin: string;
  let ca: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-proxy-'));
    const ports = { proxy: await freePort(), server: await freePort() };
    cutting = await startCuttingProxy(() => ports.proxy, random, CUTS);
    origin = `https://localhost:${cutting.port}`;
    const certificate = ['-keyout', `${folder}/privkey.pem`, '-out', `${folder}/fullchain.pem`];
    await execa('openssl', [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
      ...['-addext', 'subjectAltName=DNS:localhost'],
      ...certificate,
    ]);
    ca = await readFile(`${folder}/fullchain.pem`, 'utf8');
    const [program = '', ...args] = await configure(folder, ports);
    server = await startServer({ PORT: String(ports.server), PUBLIC_URL: origin, TRUST_PROXY: '1' });
    proxy = execa(program, args, { reject: false, all: true, env: { XDG_DATA_HOME: folder, HOME: folder } });
    await eventually(async () => {
      if (proxy.exitCode !== null) throw new Error(`${name} ended: ${String((await proxy).all)}`);
      return listens(ports.proxy);
    });
  });
  afterAll(async () => {
    proxy?.kill('SIGTERM');
    await proxy;
    await cutting?.close();
    await server?.dispose();
    if (folder) await rm(folder, { recursive: true, force: true });
  });

  async function expectWhole(id: string): Promise<void> {
    const source = await eventually(async () => {
      const answer = await server.fetch(`/media/${id}/source`);
      return answer.ok && Buffer.from(await answer.arrayBuffer());
    });
    expect(sum(source)).toBe(sum(bytes));
  }

  it('tus-js-client uploads in parallel over connections that break', async () => {
    const before = cutting.cuts();
    const url = await new Promise<string>((resolve, reject) => {
      let starts = 0;
      const upload: Upload = new Upload(bytes, {
        endpoint: `${origin}/files`,
        headers: { authorization: `Bearer ${server.adminKey}` },
        httpStack: new DefaultHttpStack({ ca }),
        parallelUploads: 2,
        retryDelays: [0, 50, 100, 200, 400, 800, 1600],
        onError: (error) => (++starts < 5 ? upload.start() : reject(error)), // as docs/clients.md says
        onSuccess: () => resolve(upload.url ?? ''),
      });
      upload.start();
    });
    expect(url.startsWith(origin)).toBe(true);
    expect(cutting.cuts()).toBeGreaterThan(before);
    await expectWhole(mediaIdOf(url));
  });

  it.each(BY_CURL)(
    'curl goes on where it was cut, over HTTP/2, by $protocol',
    async (by) => {
      const { common, creation, append } = by;
      const before = cutting.cuts();
      const curl = (args: string[], input?: Buffer) =>
        execa('curl', ['-ksS', '--http2', ...fields({ ...auth(), ...common }), ...args], {
          reject: false,
          ...(input ? { input } : {}),
        });
      const created = await curl(['-X', 'POST', `${origin}/files`, '-i', ...fields(creation)]);
      expect(created.stdout).toMatch(/^HTTP\/2 201/m);
      const url = /^location: (\S+)/im.exec(created.stdout)?.[1] ?? '';
      for (let offset = 0, requests = 0; offset < bytes.length; requests++) {
        expect(requests).toBeLessThan(20);
        const at = fields({ ...append, 'Upload-Offset': String(offset) });
        await curl(['-X', 'PATCH', url, '-T', '-', '-o', '/dev/null', ...at], bytes.subarray(offset));
        const stands = await curl(['-I', url]);
        const told = Number(/^upload-offset: (\d+)/im.exec(stands.stdout)?.[1] ?? offset);
        expect(told).toBeGreaterThanOrEqual(offset);
        offset = told;
      }
      expect(cutting.cuts()).toBeGreaterThan(before);
      await expectWhole(mediaIdOf(url));
    },
    120_000,
  );

  /** One task of an app on iOS. */
  const task = (headers: Sent = {}, waits = false) =>
    urlSessionUpload(`${origin}/files`, bytes, {
      ...{ version: 6, ca, waits },
      headers: { ...auth(), ...headers },
    });

  if (passes104)
    it('a client of the IETF’s draft that saw the 104 goes on where it was cut', async () => {
      const { url, resumptions } = await task({}, true);
      expect(resumptions).toBeGreaterThan(0);
      await expectWhole(mediaIdOf(url));
    });
  else {
    it('a client of the IETF’s draft, which sees no 104, begins anew; what it left expires', async () => {
      const left = await leave();
      const { status, body } = await calmly(() => task());
      expect(status).toBe(201);
      const { id } = JSON.parse(body) as { id: string };
      expect(id).not.toBe(left.id);
      await expectWhole(id);
      const { headers } = await server.fetch(`/files/${left.id}`, {
        method: 'HEAD',
        headers: { 'Tus-Resumable': '1.0.0' },
      });
      expect(Number(headers.get('upload-offset'))).toBeLessThan(bytes.length);
      expect(Date.parse(headers.get('upload-expires') ?? '')).toBeGreaterThan(Date.now());
    });

    it('with its Idempotency-Key it goes on with what it left', async () => {
      const key = { 'Idempotency-Key': 'the same file' };
      const left = await leave(key);
      const { status, body } = await calmly(() => task(key));
      expect([status, JSON.parse(body)]).toEqual([201, { id: left.id }]);
      await expectWhole(left.id);
    });

    /** A task whose connection broke; resolves with the upload it made. */
    async function leave(headers: Sent = {}): Promise<{ id: string }> {
      const known = new Set((await uploading()).map(({ id }) => id));
      await expect(task(headers)).rejects.toThrow(NeverAnnouncedError);
      return eventually(async () => (await uploading()).find(({ id }) => !known.has(id)));
    }

    async function uploading(): Promise<{ id: string }[]> {
      const answer = await server.fetch('/api/media?status=uploading');
      return ((await answer.json()) as { items: { id: string }[] }).items;
    }

    async function calmly<T>(work: () => Promise<T>): Promise<T> {
      cutting.calm(true);
      return work().finally(() => cutting.calm(false));
    }
  }

  const auth = () => ({ Authorization: `Bearer ${server.adminKey}` });
});

const fields = (headers: Sent): string[] =>
  Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);

/** Somebody answers at this port. */
const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

const sum = (of: Buffer): string => createHash('sha256').update(of).digest('hex');
