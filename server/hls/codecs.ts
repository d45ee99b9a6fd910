/** CODECS strings (RFC 6381) from the bytes of an initialization segment, where alone the truth stands. */
import { findBoxes, readBoxes, type Box } from './boxes.ts';

/** Bytes of a sample entry before its child boxes: VisualSampleEntry and AudioSampleEntry of ISO/IEC 14496-12, 12.1.3 and 12.2.3. */
const VISUAL_ENTRY = 78;
const AUDIO_ENTRY = 28;

/** One string per track, e.g. `avc1.64001f` or `mp4a.40.2`. Throws on a codec it can't name. */
export function codecsOf(initSegment: Buffer): string[] {
  return findBoxes(initSegment, 'moov/trak/mdia/minf/stbl/stsd').flatMap(({ body }) =>
    readBoxes(body.subarray(8)).map(codecOf),
  );
}

function codecOf(entry: Box): string {
  if (entry.type === 'avc1') return `avc1.${avcProfile(child(entry, VISUAL_ENTRY, 'avcC'))}`;
  if (entry.type === 'mp4a') return `mp4a.${audioObject(child(entry, AUDIO_ENTRY, 'esds'))}`;
  throw new Error(`no CODECS string is known for the sample entry ${entry.type}`);
}

function child(entry: Box, skip: number, type: string): Buffer {
  const box = readBoxes(entry.body.subarray(skip)).find((b) => b.type === type);
  if (!box) throw new Error(`${entry.type} has no ${type}`);
  return box.body;
}

/** AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1): version, then profile, constraints and level. */
const avcProfile = (avcC: Buffer): string => avcC.toString('hex', 1, 4);

/** ES_Descriptor (ISO/IEC 14496-1, 7.2.6.5): object type indication, and for MPEG-4 audio the audio object type. */
function audioObject(esds: Buffer): string {
  const DECODER_CONFIG = 4;
  const DECODER_SPECIFIC = 5;
  const stream = descriptor(esds, 4);
  const config = descriptor(esds, stream.body + 3); // ES_ID and flags; FFmpeg sets none of the optional fields
  if (config.tag !== DECODER_CONFIG) throw new Error('esds has no decoder configuration');
  const indication = esds.toString('hex', config.body, config.body + 1);
  const specific = descriptor(esds, config.body + 13);
  if (indication !== '40' || specific.tag !== DECODER_SPECIFIC) return indication;
  return `${indication}.${esds.readUInt8(specific.body) >> 3}`;
}

/** A descriptor's tag and where its body starts: the length is in bytes of seven bits, the last with a clear top bit. */
function descriptor(bytes: Buffer, at: number): { tag: number; body: number } {
  let body = at + 1;
  while (bytes.readUInt8(body++) & 0x80);
  return { tag: bytes.readUInt8(at), body };
}
