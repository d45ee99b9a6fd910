/** Counts a file's packets where its header can't be trusted to say how long and how even it is. */
import type { Ffmpeg } from '../ffmpeg/ffmpeg.ts';
import { SteadyClock } from './steady-clock.ts';

export interface StreamScan {
  packets: number;
  /** Seconds: the first time stamp, and the end of the last packet. */
  start: number;
  end: number;
  /** Seconds that packets fill. */
  filled: number;
  /** Seconds: the longest time between two packets that follow each other. */
  longestGap: number;
  /** Packets per second between the first and the last. */
  rate: number;
  /** Seconds: what half of the packets are apart at most. */
  medianInterval: number;
}

/** 24 hours at 60 pictures and 50 sounds per second; packets beyond are not looked at. */
const MAX_PACKETS = 10_000_000;

export interface ScanLimits {
  signal: AbortSignal;
  stallMs: number;
  wallMs?: number;
}

/** What to count. */
export interface ToScan {
  /** Indexes. */
  streams: readonly number[];
  /** Those of them by whose packets jumps of the container's clock are seen and taken out. */
  jumping: readonly number[];
  /** There is no container, and so no clock: packets follow each other. */
  bare: boolean;
}

/** Reads every packet of a file, or of what comes, once, decoding none. Streams without packets are absent. */
export async function scanPackets(
  ffmpeg: Ffmpeg,
  from: { source: string } | { stdin: AsyncIterable<Buffer> },
  { streams, jumping, bare }: ToScan,
  { signal, stallMs, wallMs = 2 * 3600_000 }: ScanLimits,
): Promise<Map<number, StreamScan>> {
  const packets = new Map(streams.map((index) => [index, new PacketTimes()]));
  const clock = new SteadyClock();
  let seen = 0;
  /** A line is `stream_index=0|pts_time=1.5|dts_time=1.4|duration_time=0.04`, with N/A for what is not known. */
  const take = (line: string): void => {
    const fields = new Map(line.split('|').map((field) => field.split('=') as [string, string]));
    const index = Number(fields.get('stream_index'));
    const duration = seconds(fields.get('duration_time')) ?? 0;
    const decodeTime =
      seconds(fields.get('dts_time')) ??
      seconds(fields.get('pts_time')) ??
      (bare ? packets.get(index)?.filled : undefined);
    if (decodeTime === undefined) return;
    const offset = jumping.includes(index) ? clock.offsetAt(index, decodeTime, duration) : 0;
    packets.get(index)?.add((seconds(fields.get('pts_time')) ?? decodeTime) + offset, duration);
  };
  await ffmpeg.probe({
    ...from,
    options: [
      '-show_entries',
      'packet=stream_index,pts_time,dts_time,duration_time',
      '-of',
      'compact=p=0:nk=0',
    ],
    onLine: (line) => {
      if (seen++ < MAX_PACKETS) take(line);
    },
    ...{ signal, wallMs, stallMs },
  });
  return new Map([...packets].filter(([, p]) => p.count > 0).map(([index, p]) => [index, p.summary()]));
}

function seconds(text: string | undefined): number | undefined {
  const value = Number(text);
  return text && Number.isFinite(value) ? value : undefined;
}

/** Presentation times in the order of decoding: they must be sorted before they are compared. */
class PacketTimes {
  count = 0;
  /** Seconds of all packets. */
  filled = 0;
  #times = new Float64Array(1024);
  #durations = new Float64Array(1024);

  add(time: number, duration: number): void {
    if (this.count === this.#times.length) {
      this.#times = grown(this.#times);
      this.#durations = grown(this.#durations);
    }
    this.filled += duration;
    this.#times[this.count] = time;
    this.#durations[this.count++] = duration;
  }

  summary(): StreamScan {
    const durations = this.#durations.subarray(0, this.count);
    const ends = this.#times.subarray(0, this.count).map((time, i) => time + durations[i]!);
    const times = this.#times.slice(0, this.count).sort();
    const intervals = times
      .map((time, i) => (i ? time - times[i - 1]! : 0))
      .subarray(1)
      .sort();
    const medianInterval = intervals[intervals.length >> 1] ?? durations[0] ?? 0;
    const lasting = times.at(-1)! - times[0]!;
    const { filled } = this;
    return {
      packets: this.count,
      start: times[0]!,
      // Without durations the last packet is taken to be as long as the others.
      end: Math.max(
        ends.reduce((a, b) => Math.max(a, b), -Infinity),
        times.at(-1)! + (filled > 0 ? 0 : medianInterval),
      ),
      filled: filled > 0 ? filled : medianInterval * this.count,
      rate: lasting > 0 ? (this.count - 1) / lasting : medianInterval > 0 ? 1 / medianInterval : 0,
      longestGap: intervals.at(-1) ?? 0,
      medianInterval,
    };
  }
}

function grown(array: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(array.length * 2);
  larger.set(array);
  return larger;
}
