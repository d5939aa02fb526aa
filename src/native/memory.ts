import { type Pointer, toArrayBuffer } from "bun:ffi";
import { OSError } from "../errors.ts";
import { errno } from "./socket.ts";

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

/** A pointer that a native function gives, as the types of bun:ffi have it. */
type Returned = Pointer | bigint | null;

/**
 * A record of the native library, which is freed when this object is collected or its thread ends.
 *
 * A Worker may be terminated between any two calls. Therefore the record is still empty when it comes here, and only
 * then is opened what it shall hold.
 */
export class NativeRecord {
  readonly pointer: Pointer;
  /** Kept for its deallocator; nothing reads it. */
  protected readonly memory: ArrayBuffer;

  /** @throws OSError ENOMEM when there is no record */
  constructor(pointer: Returned, free: Returned) {
    this.pointer = created(pointer);
    this.memory = adoptMemory(this.pointer, 0, 1, this.pointer, free as Pointer);
  }
}

/** @throws OSError ENOMEM when there is no pointer */
export function created(pointer: Returned): Pointer {
  if (pointer === null) throw new OSError(errno.ENOMEM, "mmap");
  return pointer as Pointer;
}
