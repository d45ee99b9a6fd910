/** Reads what `ffmpeg -progress` writes: blocks of `key=value` lines that end with a `progress` line. */
export interface FfmpegProgress {
  /** Seconds written so far; undefined while FFmpeg says N/A. */
  seconds: number | undefined;
  /** Pictures written so far; undefined for audio. */
  frames: number | undefined;
  /** Times real time. */
  speed: number | undefined;
}

/** Returns a function that takes lines and calls `onBlock` at the end of each block. */
export function progressReader(onBlock: (progress: FfmpegProgress) => void): (line: string) => void {
  let block = new Map<string, string>();
  return (line) => {
    const at = line.indexOf('=');
    if (at < 0) return;
    const key = line.slice(0, at).trim();
    block.set(key, line.slice(at + 1).trim());
    if (key !== 'progress') return;
    const micros = numberOf(block.get('out_time_us'));
    onBlock({
      seconds: micros === undefined ? undefined : Math.max(0, micros / 1e6),
      frames: numberOf(block.get('frame')),
      speed: numberOf(block.get('speed')?.replace(/x$/, '')),
    });
    block = new Map();
  };
}

/** Undefined for N/A, for nothing, and for the absurd values FFmpeg prints before the first packet. */
function numberOf(text: string | undefined): number | undefined {
  const value = text ? Number(text) : Number.NaN;
  return Number.isFinite(value) && Math.abs(value) < 2 ** 53 ? value : undefined;
}

/** Percent with one decimal, never falling, below 100 until the job commits. */
export function percentOf(duration: number, from = 0, to = 100): (seconds: number) => number {
  let best = 0;
  return (seconds) => {
    const part = duration > 0 ? Math.min(1, seconds / duration) : 0;
    best = Math.max(best, Math.min(99.9, from + part * (to - from)));
    return Math.floor(best * 10) / 10;
  };
}
