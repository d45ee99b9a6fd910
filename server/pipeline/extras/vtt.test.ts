import { cleanVtt, MAX_CUES } from './vtt.ts';

const cue = (text: string, times = '00:01.000 --> 00:02.000'): string => `WEBVTT\n\n${times}\n${text}\n`;
const textOf = (text: string): string => cleanVtt(cue(text), 10).text;

describe('cleanVtt', () => {
  it('keeps cues, and tags that do no harm', () => {
    expect(cleanVtt(cue('<i>a</i> <b>b</b> <u>c</u>'), 10)).toEqual({
      text: 'WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n<i>a</i> <b>b</b> <u>c</u>\n',
      cues: 1,
    });
  });

  it.each([
    ['<script>x</script>', '&lt;script&gt;x&lt;/script&gt;'],
    ['<img src=x onerror=y>', '&lt;img src=x onerror=y&gt;'],
    ['a & b &amp; &lrm; &#0;', 'a &amp; b &amp; &lrm; &amp;#0;'],
    ['<c.red><v Bob>hi', '&lt;c.red&gt;&lt;v Bob&gt;hi'],
    ['x 00:01.000 --> 00:02.000', 'x 00:01.000 --&gt; 00:02.000'],
    ['a\u0000\u0007b\u2028c', 'abc'],
  ])('takes %j for text', (text, expected) => {
    expect(textOf(text)).toBe(`WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n${expected}\n`);
  });

  it('leaves out settings, notes, styles and empty lines within a cue', () => {
    const raw = `WEBVTT\n\nSTYLE\n::cue { color: red }\n\n${cue('a\n\n \nb', '00:01.000 --> 00:02.000 line:0').slice(8)}`;
    expect(cleanVtt(raw, 10).text).toBe('WEBVTT\n\n00:00:01.000 --> 00:00:02.000\na\nb\n');
  });

  it('sorts, cuts at the end of the film, and drops what is never shown', () => {
    const raw = [
      'WEBVTT',
      '1:00:08.000 --> 1:00:30.000\nlate',
      '00:03.000 --> 00:03.000\nno time',
      '00:01.000 --> 00:02.000\nearly',
      '1:00:11.000 --> 1:00:12.000\nafter the end',
      '00:02.000 --> 00:03.000\n \n',
    ].join('\n\n');
    expect(cleanVtt(raw, 3610)).toEqual({
      text: 'WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nearly\n\n01:00:08.000 --> 01:00:10.000\nlate\n',
      cues: 2,
    });
  });

  it('has an end, whatever comes', () => {
    const raw = `WEBVTT\n\n${'00:01.000 --> 00:02.000\nx\n\n'.repeat(MAX_CUES + 5)}`;
    expect(cleanVtt(raw, 10).cues).toBe(MAX_CUES);
    expect(textOf('x'.repeat(100_000)).length).toBeLessThan(1_100);
    expect(cleanVtt('\u0000\u00ff nonsense', 10)).toEqual({ text: 'WEBVTT\n', cues: 0 });
  });
});
