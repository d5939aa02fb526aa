import { drainMicrotasks } from "bun:jsc";
import type { Bridge } from "./native/bridge.ts";

/** What Bun's loop drives: a dispatcher. */
export interface Driven {
  readonly selector: { now(): number };
  hasPendingOperations(): boolean;
  /** One short round, without waiting, when something is pending; whether another one may find something to do. */
  hostedPoll(): boolean;
  /** Milliseconds until there is something to do that no descriptor tells: 0 at once, Infinity never. */
  idleTime(): number;
  openBridge(ring: () => void): Bridge;
}

/**
 * Runs each turn in the async context in which this file was loaded. Else a turn, and with it everybody's callbacks,
 * would run in the context of whoever happened to wake the loop.
 */
let inOneContext: (turn: () => void) => void = (turn) => {
  first.resolve();
  drainMicrotasks();
  inOneContext(turn);
};

// A reaction has the context in which it was asked for. It waits for the first turn, as the module takes a millisecond.
const first = Promise.withResolvers<void>();
first.promise.then(() => {
  inOneContext = process.getBuiltinModule("node:async_hooks").AsyncLocalStorage.snapshot();
});

/** A turn may last that long in any case: short enough for whom Bun's loop serves, long enough to be worth it. */
const SHORTEST_SLICE_MS = 0.2;
const LONGEST_SLICE_MS = 5;

/** When the system has no descriptor or thread left for the bell, it is tried again after this time at the latest. */
const RETRY_MS = 100;

/**
 * The drive of one dispatcher by Bun's loop. A turn polls until there is nothing to do, without waiting, and at most as
 * long as Bun's loop had for itself since the turn before, so that with both busy neither starves. The next turn comes
 * at once when there is more to do, else when the bell rings, else, with nothing pending, when the dispatcher
 * {@link wake}s it.
 */
export class BunLoop {
  private readonly driven: Driven;
  private bridge: Bridge | undefined;
  /** A turn is running, or comes by itself. */
  private awake = false;
  /** The last one that was asked for. */
  private immediate: NodeJS.Immediate | undefined;
  /** What takes the place of the bell while there is none to be had. */
  private retry: NodeJS.Timeout | undefined;
  private isBellLost = false;
  private referenced: boolean;
  private stopped = false;
  private lastTurnEnd = 0;

  constructor(driven: Driven, referenced: boolean) {
    this.driven = driven;
    this.referenced = referenced;
  }

  /** Something has changed outside a turn: looks at it once control has returned to Bun's loop. */
  wake(): void {
    if (this.awake || this.stopped) return;
    this.awake = true;
    queueMicrotask(this.look);
  }

  /** A blocking call may have done all there was to do. An immediate costs a program that ends then a millisecond. */
  private readonly look = (): void => {
    if (this.stopped) return;
    if (this.driven.hasPendingOperations()) this.scheduleTurn();
    else this.rest();
  };

  private scheduleTurn(): void {
    this.awake = true;
    this.immediate = setImmediate(this.turn);
    if (!this.referenced) this.immediate.unref();
  }

  /** Whether pending operations keep the process alive. */
  setReferenced(referenced: boolean): void {
    this.referenced = referenced;
    if (referenced) this.immediate?.ref();
    if (referenced) this.retry?.ref();
    else this.retry?.unref();
    this.wake();
  }

  /** Idempotent. */
  stop(): void {
    this.stopped = true;
    this.endRetry();
    this.bridge?.close();
  }

  private readonly turn = (): void => {
    inOneContext(this.takeTurn);
  };

  private readonly takeTurn = (): void => {
    this.awake = true;
    let isBusy = false;
    try {
      isBusy = this.pollForASlice();
    } catch (error) {
      tellOrigin(error);
      // Thrown on, Bun might print this place as the one where it came from.
      reportError(error);
    } finally {
      this.awake = false;
      this.lastTurnEnd = this.driven.selector.now();
      if (!this.stopped) this.prepareNextTurn(isBusy);
    }
  };

  /** Whether there is more to do. */
  private pollForASlice(): boolean {
    const start = this.driven.selector.now();
    const hostMs = start - this.lastTurnEnd;
    const end = start + Math.min(Math.max(hostMs, SHORTEST_SLICE_MS), LONGEST_SLICE_MS);
    while (!this.stopped && this.driven.hasPendingOperations()) {
      if (!this.driven.hostedPoll()) return false;
      if (this.driven.selector.now() >= end) return true;
    }
    return false;
  }

  /** Until the dispatcher wakes it. */
  private rest(): void {
    this.awake = false;
    this.bridge?.setReferenced(false);
  }

  private prepareNextTurn(isBusy: boolean): void {
    this.endRetry();
    if (!this.driven.hasPendingOperations()) {
      this.rest();
      return;
    }
    const idleMs = this.driven.idleTime();
    if (isBusy || idleMs === 0) {
      this.scheduleTurn();
      return;
    }
    try {
      this.bridge ??= this.driven.openBridge(this.turn);
      this.bridge.setReferenced(this.referenced);
      this.bridge.arm(idleMs);
      this.isBellLost = false;
    } catch (error) {
      this.retry = setTimeout(this.turn, Math.min(idleMs, RETRY_MS));
      if (!this.referenced) this.retry.unref();
      // Told once, and not again at each retry.
      if (!this.isBellLost) warnOfRetries(error as Error);
      this.isBellLost = true;
    }
  }

  private endRetry(): void {
    if (this.retry === undefined) return;
    clearTimeout(this.retry);
    this.retry = undefined;
  }
}

/** It goes on by itself: no reason to end the process. */
function warnOfRetries({ message }: Error): void {
  const warning = `Nothing can wake Bun's loop for a dispatcher, which looks every ${RETRY_MS} ms until it can: ${message}`;
  process.emitWarning(warning, "AsyncDispatchWarning");
}

/** Of an error that ends the process Bun prints where it was made, which in an event loop is seldom whose it is. */
function tellOrigin(error: unknown): void {
  const { asyncStack } = Object(error) as { asyncStack?: unknown };
  if (typeof asyncStack !== "string" || process.listenerCount("uncaughtException") > 0) return;
  console.error(`Uncaught error of a future:\n${asyncStack}`);
}
