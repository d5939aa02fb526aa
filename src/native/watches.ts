import type { Pointer } from "bun:ffi";
import { type OSErrorDetails, ValueError } from "../errors.ts";
import { Code, ProcessStatusLayout } from "./abi.ts";
import { loadLibrary } from "./library.ts";
import { adoptMemory } from "./memory.ts";
import type { AsyncFD } from "./selector.ts";
import { callFailure, succeeded } from "./socket.ts";

const native = loadLibrary();

/** Where a call that gives a pointer leaves why it gave none. */
const code = new Int32Array(1);

/**
 * A record of the native library that this object owns. It is freed when the object is collected or its thread
 * ends; {@link close} gives back early what it holds.
 */
abstract class NativeRecord {
  protected readonly pointer: Pointer;
  /** Kept for its deallocator; nothing reads it. */
  protected readonly memory: ArrayBuffer;

  protected constructor(pointer: Pointer, free: Pointer) {
    this.pointer = pointer;
    this.memory = adoptMemory(pointer, 0, 1, pointer, free);
  }

  /** Idempotent. */
  abstract close(): void;
}

/** @throws what the native call left in `code` when there is no pointer */
function opened(pointer: Pointer | null, syscall: string, details?: OSErrorDetails): Pointer {
  if (pointer !== null) return pointer;
  throw callFailure(code[0] as number, syscall, details);
}

/** What `event_create` fills in: index and generation. */
const created = new Uint32Array(2);

/** A reference to an event of the process. */
export class NativeEvent extends NativeRecord {
  readonly index: number;
  readonly generation: number;
  readonly descriptor: AsyncFD;

  private constructor(pointer: Pointer, index: number, generation: number) {
    super(pointer, native.event_free_address() as Pointer);
    this.index = index;
    this.generation = generation;
    this.descriptor = native.event_descriptor(index, generation) as AsyncFD;
  }

  /** @throws OSError when the system has no descriptor left */
  static create(): NativeEvent {
    const pointer = opened(native.event_create(created, code) as Pointer | null, "eventfd");
    return new NativeEvent(pointer, created[0] as number, created[1] as number);
  }

  /** @throws ValueError when the event is gone */
  static open(index: number, generation: number): NativeEvent {
    const pointer = native.event_open(index, generation, code) as Pointer | null;
    if (pointer === null && code[0] === Code.staleHandle) throw new ValueError("The event is closed.");
    return new NativeEvent(opened(pointer, "eventfd"), index, generation);
  }

  trigger(): void {
    succeeded(native.event_trigger(this.index, this.generation), "write");
  }

  /** False when there was no trigger, or another thread was quicker. */
  take(): boolean {
    return succeeded(native.event_take(this.index, this.generation), "read") === 1;
  }

  override close(): void {
    native.event_release(this.pointer);
  }
}

/** How a process ended: one of the two, or neither where the system does not tell. */
export interface ProcessStatus {
  readonly exitCode: number | null;
  /** The signal's number. */
  readonly signal: number | null;
}

const status = new Int32Array(ProcessStatusLayout.size / Int32Array.BYTES_PER_ELEMENT);
const word = (offset: number): number => status[offset / Int32Array.BYTES_PER_ELEMENT] as number;

/** A process, whose descriptor is readable once it has ended. */
export class NativeProcess extends NativeRecord {
  readonly descriptor: AsyncFD;

  /** @throws OSError ESRCH when there is no such process */
  constructor(pid: number) {
    super(opened(native.process_open(pid, code) as Pointer | null, "pidfd_open"), processFree);
    this.descriptor = native.process_descriptor(this.pointer) as AsyncFD;
  }

  status(): ProcessStatus {
    succeeded(native.process_status(this.pointer, status), "waitid");
    if (word(ProcessStatusLayout.known) === 0) return { exitCode: null, signal: null };
    const signal = word(ProcessStatusLayout.signal);
    return signal === 0 ? { exitCode: word(ProcessStatusLayout.exitCode), signal: null } : { exitCode: null, signal };
  }

  override close(): void {
    native.process_close(this.pointer);
  }
}

const processFree = native.process_free_address() as Pointer;

/** A watch of one signal, whose descriptor is readable once it came. */
export class NativeSignal extends NativeRecord {
  readonly descriptor: AsyncFD;

  /** @throws OSError EINVAL when the signal cannot be watched, EAGAIN when there are too many watches */
  constructor(signal: number) {
    super(opened(native.signal_open(signal, code) as Pointer | null, "sigaction"), signalFree);
    this.descriptor = native.signal_descriptor(this.pointer) as AsyncFD;
  }

  /** Whether the signal came since the last call. */
  take(): boolean {
    return succeeded(native.signal_take(this.pointer), "read") === 1;
  }

  override close(): void {
    native.signal_close(this.pointer);
  }
}

const signalFree = native.signal_free_address() as Pointer;
