import { Future } from "./asyncfutures.ts";
import { type Dispatcher, getGlobalDispatcher, SYNCHRONOUS_BUDGET } from "./dispatcher.ts";
import { type CancelledError, IOSelectorsException } from "./errors.ts";
import type { AsyncFD } from "./native/selector.ts";
import type { TimerId } from "./timers.ts";
import type { Waiter, Watch } from "./watch.ts";

/** How many bytes cost as much as a call. */
export const COST_UNIT = 4096;

/** What the calls may cost that are made in a row on what cannot be waited for: 4 MiB, or as many small ones. */
const UNWATCHED_BUDGET = 1024;

/** An operation that waits for its turn in a {@link Lane}. */
export abstract class LaneOperation<T> extends Future<T> {
  /** Where it waits. */
  lane: Lane | undefined = undefined;

  /** What its next system call costs at most, in {@link COST_UNIT}s. */
  get cost(): number {
    return 1;
  }

  /** Finishes with what is there already, without a system call; false when it needs more. */
  abstract take(): boolean;

  /** Makes one system call, which may finish it; false when there was nothing to be had, so that it must wait. */
  abstract advance(): boolean;

  protected override tryCancel(error: CancelledError): boolean {
    this.fail(error);
    this.lane?.remove(this);
    return true;
  }
}

/**
 * The operations on one direction of a descriptor, which come one after another, each when the one before it is
 * finished.
 */
export class Lane implements Waiter {
  following: Waiter | undefined = undefined;
  sequence = 0;
  watch: Watch | undefined = undefined;
  private readonly fd: AsyncFD;
  private readonly direction: number;
  /** Whether it can be waited for: a file is always ready, and only lets the loop have its turn in between. */
  private isWatchable: boolean;
  private readonly operations: LaneOperation<unknown>[] = [];
  private isWaiting = false;
  private timer: { readonly dispatcher: Dispatcher; readonly id: TimerId } | undefined = undefined;
  /** What the calls cost that were made without waiting in between; what can be waited for costs 1 each. */
  private spent = 0;

  constructor(fd: AsyncFD, direction: number, isWatchable: boolean) {
    this.fd = fd;
    this.direction = direction;
    this.isWatchable = isWatchable;
  }

  /**
   * Starts an operation. What cannot be waited for is the failure of the operation.
   *
   * @param mayCall whether a system call may be made before the loop says that the descriptor is ready
   */
  start<O extends LaneOperation<unknown>>(operation: O, mayCall: boolean): O {
    operation.lane = this;
    this.operations.push(operation);
    if (this.operations.length > 1) return operation;
    this.settle();
    if (mayCall || !this.isWatchable) this.proceed();
    this.waitIfNeeded();
    return operation;
  }

  /** Takes an operation out that is finished. */
  remove(operation: LaneOperation<unknown>): void {
    const index = this.operations.indexOf(operation);
    if (index === -1) return;
    this.operations.splice(index, 1);
    this.settle();
    if (this.operations.length === 0) this.stopWaiting();
  }

  /** Fails all operations that the caller has not finished. */
  failAll(error: Error): void {
    this.stopWaiting();
    for (const operation of this.operations.splice(0)) if (!operation.finished) operation.fail(error);
  }

  ready(): boolean {
    this.spent = 0;
    this.operations[0]?.advance();
    this.settle();
    this.isWaiting = this.operations.length > 0;
    return !this.isWaiting;
  }

  abandon(error: Error): boolean {
    this.isWaiting = false;
    this.failAll(error);
    return true;
  }

  /** It is the turn of what cannot be waited for. */
  complete(): void {
    this.isWaiting = false;
    this.timer = undefined;
    this.spent = 0;
    this.proceed();
    this.waitIfNeeded();
  }

  /** The dispatcher is closed. */
  fail(error: Error): void {
    this.timer = undefined;
    this.abandon(error);
  }

  private proceed(): void {
    const budget = this.isWatchable ? SYNCHRONOUS_BUDGET : UNWATCHED_BUDGET;
    while (this.operations.length > 0 && this.spent < budget) {
      const operation = this.operations[0] as LaneOperation<unknown>;
      this.spent += this.isWatchable ? 1 : Math.max(1, operation.cost);
      if (!operation.advance()) return;
      this.settle();
    }
  }

  /** Lets those go that are finished, or can be with what is there. */
  private settle(): void {
    for (let first = this.operations[0]; first !== undefined; first = this.operations[0]) {
      if (!first.finished && !first.take()) return;
      this.operations.shift();
    }
  }

  private waitIfNeeded(): void {
    if (this.operations.length === 0 || this.isWaiting) return;
    try {
      this.wait();
      this.isWaiting = true;
    } catch (error) {
      this.failAll(error as Error);
    }
  }

  private wait(): void {
    const dispatcher = getGlobalDispatcher();
    if (this.isWatchable) {
      try {
        dispatcher.addWaiter(dispatcher.watch(this.fd), this.direction, this);
        return;
      } catch (error) {
        // Devices such as /dev/zero are always ready, and no selector takes them.
        if (!(error instanceof IOSelectorsException)) throw error;
        this.isWatchable = false;
      }
    }
    this.timer = { dispatcher, id: dispatcher.startTimer(0, this) };
  }

  private stopWaiting(): void {
    if (!this.isWaiting) return;
    this.isWaiting = false;
    if (this.timer !== undefined) this.timer.dispatcher.cancelTimer(this.timer.id);
    else if (this.watch !== undefined) this.watch.owner.removeWaiter(this.watch, this);
    this.timer = undefined;
  }
}
