/** Measured bit rates of a rendition, as EXT-X-STREAM-INF must declare them. */
export interface MeasuredSegment {
  /** Seconds. */
  duration: number;
  bytes: number;
}

/** All bits by all seconds. */
export function averageBandwidth(segments: readonly MeasuredSegment[]): number {
  const total = sum(segments);
  return total.duration > 0 ? Math.ceil((total.bytes * 8) / total.duration) : 0;
}

/**
 * "The peak segment bit rate of a Media Playlist is the largest bit rate of any contiguous set of segments whose
 * total duration is between 0.5 and 1.5 times the target duration" (RFC 8216, 4.1). So a crumb at the end doesn't
 * count alone. A playlist that is shorter than that has its average.
 */
export function peakBandwidth(segments: readonly MeasuredSegment[], targetDuration: number): number {
  let peak = 0;
  for (let first = 0; first < segments.length; first++) {
    const run = { duration: 0, bytes: 0 };
    for (const { duration, bytes } of segments.slice(first, first + MOST_IN_A_RUN)) {
      run.duration += duration;
      run.bytes += bytes;
      if (run.duration > targetDuration * 1.5) break;
      if (run.duration >= targetDuration * 0.5) peak = Math.max(peak, (run.bytes * 8) / run.duration);
    }
  }
  return Math.max(Math.ceil(peak), averageBandwidth(segments));
}

/** More segments than this in one and a half target durations tell nothing new. */
const MOST_IN_A_RUN = 1_000;

const sum = (segments: readonly MeasuredSegment[]): MeasuredSegment =>
  segments.reduce((t, s) => ({ duration: t.duration + s.duration, bytes: t.bytes + s.bytes }), {
    duration: 0,
    bytes: 0,
  });
