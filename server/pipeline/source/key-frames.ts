/** Where decoding can begin: the source's own key frames, found without reading what lies between them. */
import type { Ffmpeg } from '../ffmpeg/ffmpeg.ts';

interface Options {
  /** Local path of the source. */
  source: string;
  /** Index of the picture's stream. */
  stream: number;
  signal: AbortSignal;
}

/** Looking takes milliseconds for each time. A container without an index is not read through for this. */
const WALL_MS = 30_000;
/** One argument of a command may have 128 KiB. */
const TIMES_AT_ONCE = 4_000;

/**
 * Seeks each of `times` (seconds from the start of the file) as an encoder would; resolves with the times of the key frames
 * from which it would decode, in order, each once. Throws `ToolError`.
 */
export async function keyFramesBefore(
  ffmpeg: Ffmpeg,
  times: readonly number[],
  { source, stream, signal }: Options,
): Promise<number[]> {
  const found = new Set<number>();
  let zero = 0;
  const onLine = (line: string): void => {
    const [, time] = /\bpts_time=([\d.-]+)\|flags=K/.exec(line) ?? [];
    if (time) found.add(Number(time));
    zero = Number(/\bstart_time=([\d.-]+)/.exec(line)?.[1] ?? zero);
  };
  const shown = [
    ...['-select_streams', String(stream), '-show_entries', 'packet=pts_time,flags:format=start_time'],
    ...['-of', 'compact'],
  ];
  for (let n = 0; n < times.length; n += TIMES_AT_ONCE) {
    const some = times.slice(n, n + TIMES_AT_ONCE).map((time) => `${time.toFixed(3)}%+#1`);
    const options = [...shown, '-read_intervals', some.join(',')];
    await ffmpeg.probe({ source, options, onLine, signal, wallMs: WALL_MS });
  }
  return [...found].map((time) => time - zero).sort((a, b) => a - b);
}
