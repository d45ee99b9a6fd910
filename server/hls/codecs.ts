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
  if (entry.type === 'hvc1') return `hvc1.${hevcProfile(child(entry, VISUAL_ENTRY, 'hvcC'))}`;
  if (entry.type === 'av01') return `av01.${av1Profile(child(entry, VISUAL_ENTRY, 'av1C'))}`;
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

/**
 * HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1) as annex E.3 writes it: profile space and profile, compatibility
 * flags in reverse order of bits, tier and level, and constraint bytes up to the last that is not 0.
 */
function hevcProfile(hvcC: Buffer): string {
  const first = hvcC.readUInt8(1);
  const space = ['', 'A', 'B', 'C'][first >> 6] ?? '';
  const tier = first & 0x20 ? 'H' : 'L';
  const constraints = hvcC.toString('hex', 6, 12).replace(/(00)+$/, '');
  return [
    `${space}${first & 0x1f}`,
    reverseBits(hvcC.readUInt32BE(2)).toString(16).toUpperCase(),
    `${tier}${hvcC.readUInt8(12)}`,
    ...(constraints.match(/../g) ?? []).map((byte) => parseInt(byte, 16).toString(16).toUpperCase()),
  ].join('.');
}

function reverseBits(value: number): number {
  let reversed = 0;
  for (let bit = 0; bit < 32; bit++) if ((value >>> bit) & 1) reversed += 2 ** (31 - bit);
  return reversed;
}

/** AV1CodecConfigurationRecord (AV1 Codec ISO Media File Format Binding, 2.3) as its section 5 writes it: profile, level and tier, bits. */
function av1Profile(av1C: Buffer): string {
  const [profileAndLevel, more] = [av1C.readUInt8(1), av1C.readUInt8(2)];
  const level = String(profileAndLevel & 0x1f).padStart(2, '0');
  const bits = more & 0x40 ? (more & 0x20 ? 12 : 10) : 8;
  return `${profileAndLevel >> 5}.${level}${more & 0x80 ? 'H' : 'M'}.${String(bits).padStart(2, '0')}`;
}

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
