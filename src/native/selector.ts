import type { Pointer } from "bun:ffi";
import { IOSelectorsException, selectorError, ValueError } from "../errors.ts";
import { Backend, Code, EVENT_CAPACITY, EventLayout } from "./abi.ts";
import { type Bridge, NativeBridge } from "./bridge.ts";
import { custody } from "./custody.ts";
import { loadLibrary } from "./library.ts";
import { adoptMemory, created } from "./memory.ts";

declare const brand: unique symbol;

/** A descriptor of the operating system: a POSIX file descriptor, a Windows SOCKET. Nim: `AsyncFD`. */
export type AsyncFD = number & { readonly [brand]: "AsyncFD" };

/** The selectors that this package has, each on the platforms whose system has it. */
export type SelectorKind = keyof typeof Backend;

/** A registration's place in the selector's table, and the generation that tells it from an older one there. */
export interface Handle {
  index: number;
  generation: number;
}

/** Words of an event in {@link Selector.events}: index, generation, readiness. */
export const EVENT_WORDS = EventLayout.size / Uint32Array.BYTES_PER_ELEMENT;

/**
 * Tells which descriptors are ready, and the time. The dispatcher knows the operating system through this
 * alone, so that a test can put a simulated one in its place. Nim: `Selector`.
 */
export interface Selector {
  /** `"simulated"`: the one of `asyncdispatch/testing`. */
  readonly kind: SelectorKind | "simulated";
  /** The selector's own descriptor, readable when an event is waiting; -1 where the system has none, or when closed. */
  readonly descriptor: number;
  /** What the last {@link wait} found: per event {@link EVENT_WORDS} words. */
  readonly events: Uint32Array;
  /**
   * Registers a descriptor without interest and fills the handle in. It is checked to be open, unless `isOwn` says
   * that this library has just opened it; then it is closed when its thread ends before the selector is closed.
   */
  register(fd: AsyncFD, handle: Handle, isOwn: boolean): void;
  /** Sets which readiness is reported: bits of `Readiness`, 0 for none. */
  setInterest(handle: Handle, interest: number): void;
  /** Forgets a registration. `isClosing`: its descriptor is closed next, so that the system forgets it by itself. */
  unregister(handle: Handle, isClosing: boolean): void;
  /**
   * Waits for events, at most `timeoutMs` (negative: for ever), and returns how many there are, at most `limit`; the
   * next wait finds the others.
   */
  wait(timeoutMs: number, limit: number): number;
  /** Milliseconds of a monotonic clock, which a test runner's fake timers do not stop. */
  now(): number;
  /** What lets Bun's loop wait for this selector; a selector without it can be polled only. */
  readonly openBridge?: ((ring: () => void) => Bridge) | undefined;
  /** Releases what the system holds; later calls throw. Idempotent. */
  close(): void;
  /** As {@link close}, and closes the registered descriptors that this library opened. */
  abandon(): void;
}

/** The selector of the native library. */
export class NativeSelector implements Selector {
  readonly kind: SelectorKind;
  readonly events: Uint32Array;
  private readonly pointer: Pointer;
  private readonly native = loadLibrary();
  readonly openBridge = (ring: () => void): Bridge => new NativeBridge(this.pointer, ring);

  /**
   * @throws ValueError for a kind that this platform does not have
   * @throws IOSelectorsException when the operating system refuses
   */
  constructor(kind: SelectorKind = defaultSelectorKind()) {
    if (!availableKinds().includes(kind)) throw unknownKind(kind);
    const pointer = created(this.native.selector_create());
    this.kind = kind;
    this.pointer = pointer;
    // The array owns the native selector: when the engine drops it, also at the end of a Worker, it is freed.
    const memory = adoptMemory(
      this.native.selector_events(pointer) as Pointer,
      0,
      EVENT_CAPACITY * EventLayout.size,
      pointer,
      this.native.selector_free_address() as Pointer,
    );
    this.events = new Uint32Array(memory);
    const result = this.native.selector_open(pointer, Backend[kind]);
    if (result < 0) throw selectorFailure(result, kind);
  }

  /** Not asked for before somebody wants it: kqueue's changes must then no longer wait for the next call. */
  get descriptor(): number {
    return Math.max(this.native.selector_descriptor(this.pointer), -1);
  }

  register(fd: AsyncFD, handle: Handle, isOwn: boolean): void {
    checked(this.native.selector_register(this.pointer, custody.pointer, fd, isOwn ? 1 : 0, registered));
    handle.index = registered[0] as number;
    handle.generation = registered[1] as number;
  }

  setInterest(handle: Handle, interest: number): void {
    checked(this.native.selector_set_interest(this.pointer, handle.index, handle.generation, interest));
  }

  unregister(handle: Handle, isClosing: boolean): void {
    const { index, generation } = handle;
    const closing = isClosing ? 1 : 0;
    checked(this.native.selector_unregister(this.pointer, custody.pointer, index, generation, closing));
  }

  wait(timeoutMs: number, limit: number): number {
    return checked(this.native.selector_wait(this.pointer, timeoutMs, limit));
  }

  now(): number {
    return this.native.selector_clock();
  }

  close(): void {
    this.native.selector_close(this.pointer);
  }

  abandon(): void {
    this.native.selector_abandon(this.pointer);
  }
}

/** What `selector_register` fills in: index and generation. */
const registered = new Uint32Array(2);

function checked(result: number): number {
  if (result < 0) throw selectorFailure(result);
  return result;
}

function selectorFailure(code: number, kind?: string): Error {
  switch (code) {
    case Code.staleHandle:
      return new IOSelectorsException("The descriptor's registration is gone");
    case Code.closed:
      return new ValueError("The dispatcher is closed.");
    case Code.unknownBackend:
      return unknownKind(kind);
    default:
      return selectorError(-code);
  }
}

function unknownKind(kind: unknown): ValueError {
  return new ValueError(`No selector ${JSON.stringify(kind)} here; there are ${availableKinds().join(", ")}`);
}

/** The selectors of this platform. */
function availableKinds(): SelectorKind[] {
  const bits = loadLibrary().selector_backends();
  return (Object.keys(Backend) as SelectorKind[]).filter((kind) => ((bits >> Backend[kind]) & 1) !== 0);
}

/** `ASYNCDISPATCH_SELECTOR`, else the platform's own, which every one has beside or instead of `select`. */
function defaultSelectorKind(): SelectorKind {
  const named = process.env.ASYNCDISPATCH_SELECTOR as SelectorKind | undefined;
  return named || (availableKinds().find((kind) => kind !== "select") as SelectorKind);
}
