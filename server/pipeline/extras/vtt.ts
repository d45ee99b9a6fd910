/** WebVTT from what a stranger's file says: cues that no parser and no page can take for anything else. Pure. */
import { vttTime } from './storyboard.ts';

/** Bytes of a track, and its cues: a film of three hours has 2,000 and 200 kB. */
export const MAX_VTT_BYTES = 8 * 1024 * 1024;
export const MAX_CUES = 20_000;
const MAX_CUE_LENGTH = 1_000;

interface Cue {
  start: number;
  end: number;
  text: string;
}

/** `00:01:02.345 --> 00:01:04.000` (WebVTT, 4.1), hours being optional; settings after it are left out. */
const TIMES = /^((?:\d+:)?\d\d:\d\d\.\d{3}) --> ((?:\d+:)?\d\d:\d\d\.\d{3})(?:[ \t].*)?$/;

/** The cues of FFmpeg's WebVTT, cut to `duration` seconds and in the order of their time, as a document of our own. */
export function cleanVtt(raw: string, duration: number): { text: string; cues: number } {
  const cues = parse(raw)
    .map((cue) => ({ ...cue, end: Math.min(cue.end, duration) }))
    .filter(({ start, end, text }) => start < end && text !== '')
    .sort((a, b) => a.start - b.start)
    .slice(0, MAX_CUES);
  const blocks = cues.map(({ start, end, text }) => `${vttTime(start)} --> ${vttTime(end)}\n${text}`);
  return { text: ['WEBVTT', ...blocks].join('\n\n') + '\n', cues: cues.length };
}

/** A cue begins at its line of times and ends before the next one: text may hold empty lines. */
function parse(raw: string): Cue[] {
  const cues: Cue[] = [];
  let lines: string[] = [];
  let times: [number, number] | undefined;
  const finish = (): void => {
    if (times) cues.push({ start: times[0], end: times[1], text: cleanText(lines) });
    lines = [];
  };
  for (const line of raw.split(/\r\n|\r|\n/)) {
    const [, start, end] = TIMES.exec(line) ?? [];
    if (start && end) {
      finish();
      times = [seconds(start), seconds(end)];
    } else lines.push(line);
  }
  finish();
  return cues;
}

const seconds = (time: string): number => time.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);

/** Italics, bold and underlining stay; everything else is text, and says so. No empty lines, no arrows. */
function cleanText(lines: string[]): string {
  return lines
    .map((line) => line.replace(CONTROL, '').trim())
    .filter((line) => line !== '')
    .join('\n')
    .slice(0, MAX_CUE_LENGTH)
    .split(/(<\/?[biu]>)/)
    .map((part, n) => (n % 2 ? part : escaped(part)))
    .join('');
}

const escaped = (text: string): string =>
  text
    .replace(/&(?!(?:amp|lt|gt|nbsp|lrm|rlm);)/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;');

const CONTROL = /[\p{Cc}\u2028\u2029]/gu;
