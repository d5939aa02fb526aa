import type { AsyncFD } from "./native/selector.ts";

/**
 * Somebody who waits for a descriptor to become readable or writable. Waiters are links of a
 * {@link WaiterList} themselves, so that waiting costs no further object.
 */
export interface Waiter {
  /** The next one of its list. */
  following: Waiter | undefined;
  /** When it was added, counted in waiters; tells those of this round from those added during it. */
  sequence: number;

  /** The descriptor is ready: true when the waiter is done, false when it goes on waiting. */
  ready(fd: AsyncFD): boolean;

  /**
   * The descriptor goes away: fails what waits, without a system call. False when this waiter cannot be told
   * so: it is a plain callback.
   */
  abandon(error: Error): boolean;
}

/** Called with the descriptor: `true` removes the watch, `false` keeps it. Nim: `Callback`. */
export type Callback = (fd: AsyncFD) => boolean;

/** A callback of `addRead` or `addWrite`. */
export class CallbackWaiter implements Waiter {
  following: Waiter | undefined = undefined;
  sequence = 0;
  private readonly callback: Callback;

  constructor(callback: Callback) {
    this.callback = callback;
  }

  ready(fd: AsyncFD): boolean {
    return this.callback(fd) === true;
  }

  abandon(): boolean {
    return false;
  }
}

/** The waiters of one descriptor in one direction, oldest first. */
export class WaiterList {
  head: Waiter | undefined = undefined;
  private tail: Waiter | undefined = undefined;

  push(waiter: Waiter): void {
    if (this.tail === undefined) this.head = waiter;
    else this.tail.following = waiter;
    this.tail = waiter;
  }

  shift(): Waiter | undefined {
    const waiter = this.head;
    if (waiter !== undefined) {
      this.head = waiter.following;
      waiter.following = undefined;
      if (this.head === undefined) this.tail = undefined;
    }
    return waiter;
  }

  /** Puts a waiter back that keeps its place at the front. */
  unshift(waiter: Waiter): void {
    waiter.following = this.head;
    this.head = waiter;
    if (this.tail === undefined) this.tail = waiter;
  }

  /** Takes all waiters out, in order. */
  takeAll(): Waiter[] {
    const waiters: Waiter[] = [];
    for (let waiter = this.shift(); waiter !== undefined; waiter = this.shift()) waiters.push(waiter);
    return waiters;
  }
}
