import type { Bridge } from "./native/bridge.ts";

/** What Bun's loop drives: a dispatcher. */
export interface Driven {
  /** One round, without waiting. */
  poll(timeoutMs: 0): void;
  hasPendingOperations(): boolean;
  /** Milliseconds until there is something to do that no descriptor tells: 0 at once, Infinity never. */
  idleTime(): number;
  openBridge(ring: () => void): Bridge;
}

/**
 * The drive of one dispatcher by Bun's loop. A turn is one poll that does not wait. The next turn comes at once when
 * there is more to do, else when the bell rings, else, with nothing pending, when the dispatcher {@link wake}s it.
 */
export class BunLoop {
  private readonly driven: Driven;
  private bridge: Bridge | undefined;
  /** A turn is running, or comes by itself. */
  private awake = false;
  private referenced: boolean;
  private stopped = false;

  constructor(driven: Driven, referenced: boolean) {
    this.driven = driven;
    this.referenced = referenced;
  }

  /** Something has changed outside a turn: looks at it once control has returned to Bun's loop. */
  wake(): void {
    if (this.awake || this.stopped) return;
    this.awake = true;
    const immediate = setImmediate(this.turn);
    if (!this.referenced) immediate.unref();
  }

  /** Whether pending operations keep the process alive. */
  setReferenced(referenced: boolean): void {
    this.referenced = referenced;
    this.wake();
  }

  /** Idempotent. */
  stop(): void {
    this.stopped = true;
    this.bridge?.close();
  }

  private readonly turn = (): void => {
    this.awake = true;
    try {
      if (!this.stopped && this.driven.hasPendingOperations()) this.driven.poll(0);
    } catch (error) {
      tellOrigin(error);
      throw error;
    } finally {
      this.awake = false;
      if (!this.stopped) this.rest();
    }
  };

  /** Sees to the next turn. */
  private rest(): void {
    if (!this.driven.hasPendingOperations()) {
      this.bridge?.setReferenced(false);
      return;
    }
    const idleMs = this.driven.idleTime();
    if (idleMs === 0) {
      this.wake();
      return;
    }
    this.bridge ??= this.driven.openBridge(this.turn);
    this.bridge.setReferenced(this.referenced);
    this.bridge.arm(idleMs);
  }
}

/** Of an error that ends the process Bun prints where it was made, which in an event loop is seldom whose it is. */
function tellOrigin(error: unknown): void {
  const { asyncStack } = Object(error) as { asyncStack?: unknown };
  if (typeof asyncStack !== "string" || process.listenerCount("uncaughtException") > 0) return;
  console.error(`Uncaught error of a future:\n${asyncStack}`);
}
