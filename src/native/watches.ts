import { ValueError } from "../errors.ts";
import { Code, ProcessStatusLayout } from "./abi.ts";
import { loadLibrary } from "./library.ts";
import { NativeRecord } from "./memory.ts";
import type { AsyncFD } from "./selector.ts";
import { succeeded } from "./socket.ts";

const native = loadLibrary();

/** What `event_open_new` fills in: index and generation. */
const opened = new Uint32Array(2);

/** A reference to an event of the process. */
export class NativeEvent extends NativeRecord {
  readonly index: number;
  readonly generation: number;
  readonly descriptor: AsyncFD;

  /**
   * @param index and `generation`: of an event that there is; without them, a new one is made
   * @throws OSError when the system has no descriptor left
   * @throws ValueError when the event is gone
   */
  constructor(index?: number, generation?: number) {
    super(native.event_create(), native.event_free_address());
    if (index === undefined || generation === undefined) {
      succeeded(native.event_open_new(this.pointer, opened), "eventfd");
      this.index = opened[0] as number;
      this.generation = opened[1] as number;
    } else {
      const result = native.event_open(this.pointer, index, generation);
      if (result === Code.staleHandle) throw new ValueError("The event is closed.");
      succeeded(result, "eventfd");
      this.index = index;
      this.generation = generation;
    }
    this.descriptor = native.event_descriptor(this.index, this.generation) as AsyncFD;
  }

  trigger(): void {
    succeeded(native.event_trigger(this.index, this.generation), "write");
  }

  /** False when there was no trigger, or another thread was quicker. */
  take(): boolean {
    return succeeded(native.event_take(this.index, this.generation), "read") === 1;
  }

  /** Idempotent. */
  close(): void {
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
    super(native.process_create(), native.process_free_address());
    succeeded(native.process_open(this.pointer, pid), "pidfd_open");
    this.descriptor = native.process_descriptor(this.pointer) as AsyncFD;
  }

  status(): ProcessStatus {
    succeeded(native.process_status(this.pointer, status), "waitid");
    if (word(ProcessStatusLayout.known) === 0) return { exitCode: null, signal: null };
    const signal = word(ProcessStatusLayout.signal);
    return signal === 0 ? { exitCode: word(ProcessStatusLayout.exitCode), signal: null } : { exitCode: null, signal };
  }

  /** Idempotent. */
  close(): void {
    native.process_close(this.pointer);
  }
}

/** A watch of one signal, whose descriptor is readable once it came. */
export class NativeSignal extends NativeRecord {
  readonly descriptor: AsyncFD;

  /** @throws OSError EINVAL when the signal cannot be watched, EAGAIN when there are too many watches */
  constructor(signal: number) {
    super(native.signal_create(), native.signal_free_address());
    succeeded(native.signal_open(this.pointer, signal), "sigaction");
    this.descriptor = native.signal_descriptor(this.pointer) as AsyncFD;
  }

  /** Whether the signal came since the last call. */
  take(): boolean {
    return succeeded(native.signal_take(this.pointer), "read") === 1;
  }

  /** Idempotent. */
  close(): void {
    native.signal_close(this.pointer);
  }
}
