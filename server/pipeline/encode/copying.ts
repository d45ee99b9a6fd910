/** Looks at what was cut out of a source without encoding, before anybody plays it. */
import { closeSync, createReadStream, createWriteStream, openSync, readSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { PrefixEnded } from '../../errors.ts';
import { findBoxes, readBoxes } from '../../hls/boxes.ts';
import { readFragments } from '../../hls/fragments.ts';
import type { HlsDetails } from '../../hls/model.ts';
import type { Source } from '../../media/source.ts';
import type { StreamPlan } from './encode.ts';
import { encodeFailure } from '../failures.ts';
import { headOf, type Segment } from '../output/pieces.ts';
import { ToolError } from '../ffmpeg/spawn.ts';
import type { StepContext } from '../step.ts';

/** The source's picture can't be used as it is; why, in the message. */
export class Unfit extends Error {}

/** For logs: a sentence where nothing went wrong, which needs no stack. */
export const reasonOf = (error: unknown): { reason: string } | { err: unknown } =>
  (error instanceof Unfit || error instanceof PrefixEnded) && !error.cause
    ? { reason: error.message }
    : { err: error };

/** Seconds of the longest segment that players take without trouble, if only for a while. */
const LONGEST_SEGMENT = 20;
/** NAL unit types of ISO/IEC 14496-10, 7.4.1. */
const IDR = 5;
const SPS = 7;

/**
 * Throws `Unfit` unless the segment starts with an IDR picture (after which nothing refers to what came before: a
 * mere recovery point or an open group of pictures is not enough) of the size that the initialization segment says.
 */
export async function startsWithIdr(init: Buffer, [piece]: Segment): Promise<void> {
  if (!piece) return;
  if (piece.duration > LONGEST_SEGMENT)
    throw new Unfit(`key frames are ${piece.duration.toFixed(1)} s apart`);
  const head = await headOf(piece.path);
  const [first] = readFragments(head);
  if (!first?.startsWithSync) throw new Unfit('a segment does not begin with a key frame');
  const { lengthBytes, sps } = decoderConfig(init);
  const sample = head.subarray(first.offset + first.sampleOffset, first.offset + first.firstSampleBytes);
  const units = nalUnits(sample, lengthBytes);
  if (!units.some((unit) => typeOf(unit) === IDR)) throw new Unfit('a key frame is no IDR picture');
  if (units.some((unit) => typeOf(unit) === SPS && sps && !unit.equals(sps)))
    throw new Unfit('the picture changes on the way');
}

/**
 * Throws `Unfit` when a picture of the segment does not begin as one: where a damaged file is filled with zeros, or what its
 * index names lies elsewhere. Browsers give up there, while FFmpeg conceals it when it encodes. Reads are a few bytes that
 * FFmpeg has just written, so waiting for each would take longer than they do.
 */
export async function refuseDamaged(init: Buffer, segment: Segment): Promise<void> {
  const { lengthBytes } = decoderConfig(init);
  for (const { path } of segment) {
    const fragments = readFragments(await headOf(path));
    const file = openSync(path, 'r');
    try {
      for (const { offset, sampleOffset, sampleSizes } of fragments) {
        let at = offset + sampleOffset;
        for (const size of sampleSizes) {
          if (!beginsWithUnit(file, at, size, lengthBytes)) throw new Unfit('a picture is damaged');
          at += size;
        }
      }
    } finally {
      closeSync(file);
    }
  }
}

/** A sample is units after their lengths; none is empty, larger than the sample, or of type 0, which is not specified. */
function beginsWithUnit(file: number, at: number, size: number, lengthBytes: number): boolean {
  const start = Buffer.alloc(lengthBytes + 1);
  readSync(file, start, 0, start.length, at);
  const length = start.readUIntBE(0, lengthBytes);
  return length > 0 && lengthBytes + length <= size && typeOf(start.subarray(lengthBytes)) !== 0;
}

const typeOf = (unit: Buffer): number => (unit[0] ?? 0) & 0x1f;

/** NAL units before their length (ISO/IEC 14496-15, 5.3.4.2). The last may be cut off. */
function nalUnits(sample: Buffer, lengthBytes: number): Buffer[] {
  const units: Buffer[] = [];
  for (let at = 0; at + lengthBytes < sample.length;) {
    const length = sample.readUIntBE(at, lengthBytes);
    units.push(sample.subarray(at + lengthBytes, at + lengthBytes + length));
    at += lengthBytes + length;
  }
  return units;
}

const VISUAL_ENTRY = 78;

/** Bytes of an AVCDecoderConfigurationRecord with one sequence parameter set, before that. */
const CONFIG_BYTES = 8;

/**
 * AVCDecoderConfigurationRecord, 5.3.3.1: bytes of a unit's length, and the first sequence parameter set. FFmpeg writes
 * whatever a damaged source had for it. Throws `Unfit`.
 */
export function decoderConfig(init: Buffer): { lengthBytes: number; sps: Buffer | undefined } {
  const entries = findBoxes(init, 'moov/trak/mdia/minf/stbl/stsd').flatMap(({ body }) =>
    readBoxes(body.subarray(8)),
  );
  const avcC = entries
    .filter(({ type }) => type === 'avc1')
    .flatMap(({ body }) => readBoxes(body.subarray(VISUAL_ENTRY)))
    .find(({ type }) => type === 'avcC')?.body;
  if (!avcC || entries.length > 1) throw new Unfit('it is not plain H.264');
  if (avcC.length < CONFIG_BYTES) throw new Unfit('its decoder configuration is cut off');
  const count = avcC.readUInt8(5) & 0x1f;
  const sps = count ? avcC.subarray(CONFIG_BYTES, CONFIG_BYTES + avcC.readUInt16BE(6)) : undefined;
  return { lengthBytes: (avcC.readUInt8(4) & 3) + 1, sps };
}

/** Looks at each segment of a picture in turn, and closely at the first. Throws `Unfit`. */
export function segmentCheck(ctx: StepContext, plan: StreamPlan): (segment: Segment) => Promise<void> {
  const init = join(ctx.scratch, plan.root, plan.video[0]?.name ?? '', 'init.mp4');
  let checked = 0;
  return async (segment) => {
    const header = await readFile(init);
    await startsWithIdr(header, segment);
    await refuseDamaged(header, segment);
    if (checked++ === 0) await refuseUndecodable(ctx, header, segment);
  };
}

/** Throws `Unfit` when the whole is not what the source is: shorter or longer. */
export function refuseUnfit(
  source: Source,
  plan: StreamPlan,
  { variants, audio, duration }: HlsDetails,
): void {
  const [video] = variants;
  if (!video || audio.length < plan.audio.length) throw new Unfit('a stream is missing');
  const end = source.video?.end ?? 0;
  const off = Math.abs(duration - end);
  if (off > 0.1 || Math.abs(source.duration - end) > 0.5)
    throw new Unfit(`${duration.toFixed(2)} s were cut out of a picture that ends at ${end.toFixed(2)} s`);
}

/** Throws `Unfit` unless the pictures at the start of a segment decode without a word from FFmpeg. */
export async function refuseUndecodable(
  { ffmpeg, scratch, signal }: StepContext,
  init: Buffer,
  [piece]: Segment,
): Promise<void> {
  if (!piece) return;
  const source = join(scratch, 'head.mp4');
  await writeFile(source, init);
  await pipeline(createReadStream(piece.path), createWriteStream(source, { flags: 'a' }));
  const output = { options: ['-map', '0:v', '-frames:v', '30', '-f', 'null'], path: '-' };
  const run = ffmpeg.encode({ source, scratch, signal, outputs: [output], wallMs: 60_000 });
  const { log } = await run.catch(unfitOrFailed);
  await rm(source);
  if (/error|corrupt|conceal|missing|invalid|no frame/i.test(log))
    throw new Unfit(`it does not decode: ${log}`);
}

/** A decoder that gives up says no; one that was killed says nothing about the picture. */
function unfitOrFailed(error: unknown): never {
  if (error instanceof ToolError && error.end === 'exit')
    throw new Unfit(`it does not decode: ${error.log}`, { cause: error });
  throw encodeFailure(error);
}
