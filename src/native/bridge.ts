import type { Pointer } from "bun:ffi";
import type { Socket } from "bun";
import { loadLibrary } from "./library.ts";
import { NativeRecord } from "./memory.ts";
import { succeeded } from "./socket.ts";

/** Lets Bun's loop wait for a selector: `ring` is called there once after each {@link Bridge.arm}. */
export interface Bridge {
  /** Rings once the selector has something to report, or after `timeoutMs` (Infinity: not by time). */
  arm(timeoutMs: number): void;
  /** Whether waiting for the bell keeps the process alive; at first it does. */
  setReferenced(referenced: boolean): void;
  /** Idempotent. */
  close(): void;
}

/** @internal The bell of the native library: a thread that waits for the selector, and a socket that Bun watches. */
export class NativeBridge extends NativeRecord implements Bridge {
  private readonly native = loadLibrary();
  private readonly selector: Pointer;
  private readonly socket: Socket;
  private referenced = true;
  private closed = false;

  /** @throws OSError when the system has no thread or descriptor left */
  constructor(selector: Pointer, ring: () => void) {
    const native = loadLibrary();
    super(native.bridge_create(), native.bridge_free_address());
    succeeded(native.bridge_open(this.pointer, selector), "pthread_create");
    this.selector = selector;
    this.socket = connectNow(native.bridge_host_end(this.pointer), ring);
  }

  arm(timeoutMs: number): void {
    const nativeTimeoutMs = timeoutMs === Infinity ? -1 : timeoutMs;
    succeeded(this.native.bridge_arm(this.pointer, this.selector, nativeTimeoutMs), "epoll_ctl");
  }

  setReferenced(referenced: boolean): void {
    if (referenced === this.referenced) return;
    this.referenced = referenced;
    if (referenced) this.socket.ref();
    else this.socket.unref();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.native.bridge_close(this.pointer);
    this.socket.terminate();
  }
}

/** Lets Bun watch a connected socket, which becomes Bun's; of a descriptor, `open` is called at once. */
function connectNow(fd: number, onData: () => void): Socket {
  let socket: Socket | undefined;
  const handlers = {
    open(opened: Socket) {
      socket = opened;
    },
    // Without an `error` handler, what `data` throws is an uncaught exception, as it should be.
    data: onData,
  };
  void Bun.connect({ fd, socket: handlers } as unknown as Parameters<typeof Bun.connect>[0]);
  return socket as unknown as Socket;
}
