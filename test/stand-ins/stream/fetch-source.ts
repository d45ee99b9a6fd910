/** Fetches a source as Stream documents it: HEAD first, then ranges, no redirects; and keeps its SHA-256. */
import { createHash } from 'node:crypto';
import type { Video } from './video.ts';

/** Bytes per range: small, so that even tiny sources take several. */
const PIECE = 256 * 1024;

/** Throws when the origin does not do what Stream needs. */
export async function fetchSource(video: Video): Promise<void> {
  const ask = async (method: string, headers: Record<string, string> = {}): Promise<Response> => {
    const answer = await fetch(video.input ?? '', {
      method,
      headers: { 'Accept-Encoding': 'identity', ...headers },
      redirect: 'manual',
      signal: AbortSignal.timeout(10_000),
    });
    video.fetches.push(`${method} ${answer.status}`);
    return answer;
  };
  const head = await ask('HEAD');
  const length = Number(head.headers.get('content-length') ?? 'none');
  const etag = head.headers.get('etag') ?? '';
  expectOrigin(head.status === 200, `HEAD answered ${head.status}`);
  expectOrigin(Number.isSafeInteger(length), 'HEAD has no Content-Length');
  expectOrigin(head.headers.get('accept-ranges') === 'bytes', 'HEAD has no Accept-Ranges');
  expectOrigin(/^"[^"]+"$/.test(etag), `the ETag ${etag} is not strong`);

  const hash = createHash('sha256');
  for (let start = 0; start < length; start += PIECE) {
    const end = Math.min(length, start + PIECE) - 1;
    const part = await ask('GET', { Range: `bytes=${start}-${end}`, 'If-Range': etag });
    const bytes = Buffer.from(await part.arrayBuffer());
    expectOrigin(part.status === 206, `GET of a range answered ${part.status}`);
    expectOrigin(
      part.headers.get('content-range') === `bytes ${start}-${end}/${length}`,
      'wrong Content-Range',
    );
    expectOrigin(bytes.length === end - start + 1, 'a range is not as long as it says');
    hash.update(bytes);
  }
  video.size = length;
  video.sha256 = hash.digest('hex');
}

function expectOrigin(fine: boolean, complaint: string): void {
  if (!fine) throw new Error(complaint);
}
