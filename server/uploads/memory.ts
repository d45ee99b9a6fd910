/**
 * Memory of bodies, given back as soon as their bytes are stored. Every 64 KiB that a socket yields are memory of their own,
 * which V8 would keep until 32 MiB of it have come together, and then look through all its heap for more. Given back at
 * once, the same few pieces are used again and stay in the processor's caches.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Transfer = (this: ArrayBuffer, newLength: number) => ArrayBuffer;

const transfer = findTransfer();

/** Frees the memory of buffers that nobody will read again: they are empty then. Parts of larger ones are left alone. */
export function giveBack(buffers: readonly Buffer[]): void {
  if (transfer)
    for (const { buffer, byteLength } of buffers)
      if (byteLength && byteLength === buffer.byteLength) transfer.call(buffer as ArrayBuffer, 0);
}

/** ECMAScript 2024, section 25.1.6.9: ArrayBuffer.prototype.transfer. Node 20 has it behind a flag, which new contexts heed. */
function findTransfer(): Transfer | undefined {
  const { transfer: own } = ArrayBuffer.prototype as { transfer?: Transfer };
  if (own) return own;
  setFlagsFromString('--harmony-rab-gsab-transfer');
  return runInNewContext('ArrayBuffer.prototype.transfer') as Transfer | undefined;
}
