import type { AsyncFD } from "./native/selector.ts";

/**
 * Somebody who waits for a descriptor to become readable or writable. Waiters are links of a
 * {@link WaiterList} themselves, so that an idle connection costs one object.
 */
export abstract class Waiter {
  next: Waiter | undefined = undefined;
  /** When it was added, counted in waiters; tells those of this round from those added during it. */
  sequence = 0;

  /** The descriptor is ready: true when the waiter is done, false when it goes on waiting. */
  abstract ready(fd: AsyncFD): boolean;

  /**
   * The descriptor goes away: fails what waits, without a system call. False when this waiter cannot be told
   * so: it is a plain callback.
   */
  abstract abandon(error: Error): boolean;
}

/** Called with the descriptor: `true` removes the watch, `false` keeps it. Nim: `Callback`. */
export type Callback = (fd: AsyncFD) => boolean;

/** A callback of `addRead` or `addWrite`. */
export class CallbackWaiter extends Waiter {
  private readonly callback: Callback;

  constructor(callback: Callback) {
    super();
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
    else this.tail.next = waiter;
    this.tail = waiter;
  }

  shift(): Waiter | undefined {
    const waiter = this.head;
    if (waiter !== undefined) {
      this.head = waiter.next;
      waiter.next = undefined;
      if (this.head === undefined) this.tail = undefined;
    }
    return waiter;
  }

  /** Puts a waiter back that keeps its place at the front. */
  unshift(waiter: Waiter): void {
    waiter.next = this.head;
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
