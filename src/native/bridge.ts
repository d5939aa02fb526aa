import type { Pointer } from "bun:ffi";
import { AcceptedBell, type Bell, bellOf } from "./bell.ts";
import { loadLibrary } from "./library.ts";
import { NativeRecord } from "./memory.ts";
import { isWindows, succeeded } from "./socket.ts";

/** Lets Bun's loop wait for a selector: `ring` is called there once after each {@link Bridge.arm}. */
export interface Bridge {
  /** Rings once the selector has something to report, or after `timeoutMs` (Infinity: not by time). */
  arm(timeoutMs: number): void;
  /** Whether waiting for the bell keeps the process alive; at first it does. */
  setReferenced(referenced: boolean): void;
  /** Idempotent. */
  close(): void;
}

/** @internal The bridge of the native library: a thread that waits for the selector and rings the bell. */
export class NativeBridge extends NativeRecord implements Bridge {
  private readonly native = loadLibrary();
  private readonly selector: Pointer;
  private readonly bell: Bell;
  private referenced = true;
  private closed = false;

  /** @throws OSError when the system has no thread or descriptor left */
  constructor(selector: Pointer, ring: () => void) {
    const native = loadLibrary();
    super(native.bridge_create(), native.bridge_free_address());
    this.selector = selector;
    const open = (port: number) => {
      succeeded(native.bridge_open(this.pointer, selector, port), "socketpair");
      return native.bridge_host_end(this.pointer);
    };
    this.bell = isWindows ? new AcceptedBell(open, ring) : bellOf(open(0), ring);
  }

  arm(timeoutMs: number): void {
    const nativeTimeoutMs = timeoutMs === Infinity ? -1 : timeoutMs;
    succeeded(this.native.bridge_arm(this.pointer, this.selector, nativeTimeoutMs), "epoll_ctl");
  }

  setReferenced(referenced: boolean): void {
    if (referenced === this.referenced) return;
    this.referenced = referenced;
    if (referenced) this.bell.ref();
    else this.bell.unref();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.native.bridge_close(this.pointer);
    this.bell.terminate();
  }
}
