/** What attempts take of a machine, estimated from above: for admission.ts. Pure. */
import type { Codec } from '../encoding-config.ts';
import type { Source } from '../media/source.ts';
import { ENCODERS } from './encode/encoders.ts';
import type { Rung } from './encode/ladder.ts';

/** What one attempt takes, at most. */
export interface Needs {
  /** Bytes below its scratch folder. */
  bytes: number;
  /** Bytes of memory of FFmpeg. */
  memory: number;
}

/**
 * Bytes per pixel of one picture. Measured with two threads: 530 MB for four rungs of a 1080p source, of which most are the
 * encoders' lookahead; every thread more takes some pictures more.
 */
const DECODER = 60;
/** Threads whose pictures are in these figures. */
const COUNTED = 2;
/** Bits per second of a sound as it is encoded, with its container. */
const SOUND_RATE = 140_000;

const pixelsOf = ({ video }: Source): number => (video?.codedWidth ?? 0) * (video?.codedHeight ?? 0);
const bytesOf = (bitsPerSecond: number, source: Source): number =>
  Math.ceil((bitsPerSecond * source.duration) / 8);

/** Reads every picture of the source, and keeps a few. */
export const decoding = (source: Source): Needs => ({ bytes: 0, memory: pixelsOf(source) * DECODER });

export interface EncodingSettings {
  /** Of each encoder. */
  threads: number;
  codec?: Codec;
}

/** Decodes once and encodes these rungs and so many sounds, at their largest rates. */
export function encoding(
  source: Source,
  rungs: readonly Rung[],
  sounds: number,
  { threads, codec = 'h264' }: EncodingSettings,
): Needs {
  const { memory, memoryOfThread } = ENCODERS[codec];
  const encoder = memory + memoryOfThread * Math.max(0, threads - COUNTED);
  const pixels = rungs.reduce((sum, { width, height }) => sum + width * height, 0);
  return {
    bytes: encodedBytes(source, rungs, sounds),
    memory: decoding(source).memory + pixels * encoder,
  };
}

/** Writes the source's bytes once more in another container, with sounds that may have to be encoded. */
export const remuxing = (source: Source): Needs => ({
  bytes: source.size + bytesOf(SOUND_RATE * source.audio.length, source),
  memory: 0,
});

/** Fetches stored renditions `copies` times over: these rungs and so many sounds. */
export const holding = (source: Source, rungs: readonly Rung[], sounds: number, copies = 1): Needs => ({
  bytes: copies * encodedBytes(source, rungs, sounds),
  memory: 0,
});

function encodedBytes(source: Source, rungs: readonly Rung[], sounds: number): number {
  return bytesOf(
    rungs.reduce((sum, { maxRate }) => sum + maxRate, SOUND_RATE * sounds),
    source,
  );
}
