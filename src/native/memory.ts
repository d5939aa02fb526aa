import { type Pointer, toArrayBuffer } from "bun:ffi";

/**
 * An array over memory of the native library, which owns it: when the engine drops the array, also at the end of a
 * Worker, `deallocator` is called with `context`. (`toArrayBuffer` with the two arguments that its types lack.)
 */
export const adoptMemory = toArrayBuffer as (
  pointer: Pointer,
  byteOffset: number,
  byteLength: number,
  context: Pointer,
  deallocator: Pointer,
) => ArrayBuffer;
