/** Words of strangers through the whole server: what files call themselves, and what their subtitles say. */
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeMedia } from '../media.ts';
import { startServer, type TestServer } from '../server.ts';
import { uploadBytes, uploadFile } from '../tus.ts';
import { getMedia, settled } from './flow.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ LADDER: '144', X264_PRESET: 'ultrafast', STORYBOARD: 'off', EARLY: 'off' });
});
afterAll(() => server?.dispose());

describe('names of files', () => {
  // What is sent -> what it is called, and how it is saved.
  it.each<[string, string, string]>([
    ['a path', '../../etc/passwd', 'passwd'],
    ['a path of Windows', 'C:\\Users\\me\\film.mp4', 'film.mp4'],
    ['lines and quotes', 'a"b\r\nSet-Cookie: x=1;\n.mp4', 'a"bSet-Cookie: x=1;.mp4'],
    ['a reversed end', 'film\u202e4pm.exe', 'film4pm.exe'],
    ['emoji and marks', '👩‍👩‍👧 Ünï%20 <b>.mov', '👩‍👩‍👧 Ünï%20 <b>.mov'],
    ['NUL and more that is not seen', 'a\u0000b\u200bc\u2028.mp4', 'abc.mp4'],
    ['too long, cut between characters', `${'é😀'.repeat(60)}.mp4`, `${'é😀'.repeat(41)}é.mp4`],
    ['dots', '..', ''],
  ])('%s', async (_, sent, kept) => {
    const id = await uploadBytes(server, Buffer.from('no film'), { filename: sent });
    const media = await getMedia(server, id);
    expect(media).toMatchObject({ filename: kept || null });
    const query = new URLSearchParams({ q: kept || 'Untitled' });
    const found = (await (await server.fetch(`/api/media?${query.toString()}`)).json()) as {
      items: { id: string }[];
    };
    expect(found.items.map((item) => item.id)).toContain(id);

    const source = await server.fetch(`/media/${id}/source`);
    expect(await source.text()).toBe('no film');
    expect(source.headers.get('set-cookie')).toBeNull();
    expect(source.headers.get('x-content-type-options')).toBe('nosniff');
    const disposition = source.headers.get('content-disposition')!;
    expect(disposition).toMatch(/^attachment/);
    expect(savedAs(disposition)).toBe(kept || `${id}.bin`);
    expect((await settled(server, id)).status).toBe('failed');
  });

  /** The name that a browser takes: RFC 6266, section 4.3 ("filename*" first). */
  function savedAs(disposition: string): string | undefined {
    const [, extended] = /filename\*=UTF-8''([^;]*)/.exec(disposition) ?? [];
    if (extended !== undefined) return decodeURIComponent(extended);
    const [, quoted, token] = /filename=(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))/.exec(disposition) ?? [];
    return quoted?.replace(/\\(.)/g, '$1') ?? token;
  }
});

describe('subtitles', () => {
  const at = (ms: number): string => new Date(ms).toISOString().slice(11, 23).replace('.', ',');
  const srt = (cues: string[], from: number, each: number): string =>
    cues
      .map((text, n) => `${n + 1}\n${at(from + n * each)} --> ${at(from + (n + 1) * each)}\n${text}\n\n`)
      .join('');
  const HOSTILE = [
    '<script>alert(1)</script><img src=x onerror=alert(1)> <b>bold</b> & &lt;i&gt;',
    'there --> it goes\n00:00:09,000 --> what',
    'NOTE\nSTYLE\n::cue { background: url(https://evil.example/x) }',
    'REGION\nid:a\nwidth:100%',
    'WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0',
    '\u202etxt.exe\u202c and \u2066more',
    'x'.repeat(100_000),
    'nul\u0000 and \u0085 and \u2028 and \u001b[2J',
    '<c.evil><v Bob><00:00:01.000>late</v><ruby>a<rt>b</rt></ruby>',
  ];

  it('are cues and nothing but cues, however many there are', async () => {
    const track = await makeMedia('none.wav', ['-f', 'lavfi', '-i', 'sine=duration=0.1']);
    const dir = dirname(track);
    const [bad, many] = [join(dir, 'bad.srt'), join(dir, 'many.srt')];
    await writeFile(bad, srt(HOSTILE, 1_000, 1_000));
    const lots = Array.from({ length: 100_000 }, (_, n) => `line ${n}`);
    await writeFile(many, srt(lots, 0, 1));
    const film = await makeMedia('film.mkv', [
      ...['-f', 'lavfi', '-i', 'testsrc2=size=64x64:rate=5:duration=100', '-i', bad, '-i', many],
      ...['-map', '0', '-map', '1', '-map', '2', '-c:v', 'mpeg4', '-c:s', 'srt'],
    ]);
    const id = await uploadFile(server, film);
    expect((await settled(server, id)).status).toBe('ready');
    const [first, second] = [await cuesOf(id, 1), await cuesOf(id, 2)];
    expect(first.length).toBeGreaterThan(5); // FFmpeg takes some of it for the end of a cue
    expect(second).toHaveLength(20_000);
    const text = first.join('\n');
    expect(text).toContain('<b>bold</b> &amp; &lt;i&gt;');
    expect(text).toContain('NOTE\nSTYLE\n::cue {'); // words, within a cue
    for (const folder of [dir, dirname(film)]) await rm(folder, { recursive: true });
  });

  /** The cues of a track as it is served; every block must be one (WebVTT, 4.1). */
  async function cuesOf(id: string, track: number): Promise<string[]> {
    const answer = await server.fetch(`/media/${id}/subtitles/${track}.vtt`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('text/vtt; charset=utf-8');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'");
    const text = await answer.text();
    expect(text.endsWith('\n')).toBe(true);
    const [head, ...blocks] = text.trimEnd().split('\n\n');
    expect(head).toBe('WEBVTT');
    return blocks.map((block) => {
      const [times, ...lines] = block.split('\n');
      expect(times).toMatch(/^(\d\d:)?\d\d:\d\d\.\d{3} --> (\d\d:)?\d\d:\d\d\.\d{3}$/);
      const said = lines.join('\n');
      expect(said.replace(/<\/?[biu]>/g, '')).not.toMatch(/[<>]|-->|[^\P{Cc}\n]|\u2028/u);
      expect(said.length).toBeLessThan(6_000);
      return said;
    });
  }
});
