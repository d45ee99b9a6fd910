/** Reads ISO base media boxes (ISO/IEC 14496-12, 4.2) out of a buffer, such as an initialization segment. */
export interface Box {
  /** Four characters, e.g. `moov`. */
  type: string;
  /** What follows the box's header. */
  body: Buffer;
}

/** More than any box of a header holds; a hostile one might be full of them. */
const MAX_BOXES = 1_000;

/**
 * The boxes that stand one after the other in `bytes`. Throws RangeError on a box that is longer than what is there, and when
 * there are more than a header has.
 */
export function readBoxes(bytes: Buffer): Box[] {
  const boxes: Box[] = [];
  for (let at = 0; at + 8 <= bytes.length;) {
    const { type, header, size } = boxHeader(bytes, at, bytes.length - at);
    if (size < header || at + size > bytes.length) throw new RangeError(`box ${type} is cut off`);
    if (boxes.length === MAX_BOXES) throw new RangeError('there are too many boxes');
    boxes.push({ type, body: bytes.subarray(at + header, at + size) });
    at += size;
  }
  return boxes;
}

/**
 * The header at `at`, of which at least 16 bytes (or all up to the end) must be in `bytes`. `rest` is what lies
 * between the box's start and the end of the file: the size of a box that says 0.
 */
export function boxHeader(
  bytes: Buffer,
  at: number,
  rest: number,
): { type: string; header: number; size: number } {
  const size = bytes.readUInt32BE(at);
  const type = bytes.toString('latin1', at + 4, at + 8);
  if (size === 1) return { type, header: 16, size: Number(bytes.readBigUInt64BE(at + 8)) };
  return { type, header: 8, size: size === 0 ? rest : size };
}

/** All boxes at a path such as `moov/trak/mdia`. */
export function findBoxes(bytes: Buffer, path: string): Box[] {
  const [type, ...deeper] = path.split('/');
  const found = readBoxes(bytes).filter((box) => box.type === type);
  return deeper.length ? found.flatMap((box) => findBoxes(box.body, deeper.join('/'))) : found;
}
