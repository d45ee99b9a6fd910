/** The probe of an upload, most of whose work is done while it arrives. */
import type { Source } from '../../media/source.ts';
import type { Arrival } from './arrival.ts';
import { Unfit } from '../encode/copying.ts';
import { refusal } from '../failures.ts';
import type { Head } from '../source/head.ts';
import { scanPackets } from '../source/scan.ts';
import type { StepContext } from '../step.ts';
import { probe, type KnownScan } from '../steps/probe.ts';

/**
 * What the probe finds in the whole, moments after its last byte: packets are counted as they come, by an ffprobe of their
 * own. Throws `Unfit` for what the probe refuses: it says so again, to its media.
 */
export async function probeAlong(
  ctx: StepContext,
  arrival: Arrival,
  { toScan }: Head,
  wallMs: number,
): Promise<Source> {
  const { ffmpeg, encoding, signal } = ctx;
  const limits = { signal, stallMs: encoding.stallMs, wallMs };
  const scan = toScan && scanPackets(ffmpeg, { stdin: arrival.read(signal) }, toScan, limits);
  scan?.catch(() => undefined); // asked for below
  const known: KnownScan = async ({ streams }) =>
    streams.every((index) => toScan?.streams.includes(index)) ? scan : undefined;
  try {
    return await probe(ctx, await arrival.whole(), known);
  } catch (error) {
    throw refusal(error) ? new Unfit('the whole is refused', { cause: error }) : error;
  }
}
