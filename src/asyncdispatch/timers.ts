import { type Dispatcher, getGlobalDispatcher } from "../dispatcher.ts";
import { typeName, ValueError } from "../errors.ts";
import type { AsyncFD } from "../native/selector.ts";
import { raise } from "../reactor.ts";
import type { TimerId, TimerTarget } from "../timers.ts";
import { timerDescriptor } from "../virtuals.ts";
import type { Callback } from "../watch.ts";
import { requireDelay } from "./loop.ts";

/** A timer of {@link addTimer}. */
class CallbackTimer implements TimerTarget {
  private readonly dispatcher: Dispatcher;
  private readonly callback: Callback;
  /** The period in milliseconds; 0 for a timer that fires once. */
  private readonly periodMs: number;
  private deadline: number;
  readonly id: TimerId;

  constructor(dispatcher: Dispatcher, delayMs: number, oneshot: boolean, callback: Callback) {
    this.dispatcher = dispatcher;
    this.callback = callback;
    this.periodMs = oneshot ? 0 : delayMs;
    this.deadline = dispatcher.selector.now() + delayMs;
    this.id = dispatcher.startTimerAt(this.deadline, this);
  }

  get isRestartable(): boolean {
    return this.periodMs > 0;
  }

  complete(): void {
    const { dispatcher, id } = this;
    if (this.isRestartable) dispatcher.restartTimer(id, this.nextDeadline());
    try {
      if (this.callback(timerDescriptor(id)) === true && this.isRestartable) dispatcher.cancelTimer(id);
    } catch (error) {
      // The other timers of this phase are finished first.
      dispatcher.enqueue(raise, error);
    }
  }

  /** The dispatcher closes. */
  fail(): void {
    this.dispatcher.cancelTimer(this.id);
  }

  /** Ticks that were missed count as one; the next one keeps the rhythm. */
  private nextDeadline(): number {
    const late = this.dispatcher.selector.now() - this.deadline;
    this.deadline += this.periodMs * (Math.floor(late / this.periodMs) + 1);
    return this.deadline;
  }
}

/**
 * Calls `callback` in `timeoutMs` milliseconds, once, or again and again until it returns true. The timer lives in
 * the dispatcher's heap and takes no descriptor of the system. Ticks that the loop missed are one call. Nim:
 * `addTimer`.
 *
 * @param timeoutMs fractions count; 0 fires in the next poll
 * @param oneshot a timer that fires once is gone after it, whatever the callback returns
 * @returns a virtual descriptor: `unregister` stops the timer
 * @throws ValueError when `timeoutMs` is negative, NaN or infinite, or 0 for a periodic timer; TypeError for a wrong
 *   type
 * @example
 * const ticker = addTimer(1000, false, () => {
 *   console.log("tick");
 *   return false; // true would stop it, as unregister(ticker) does
 * });
 */
export function addTimer(timeoutMs: number, oneshot: boolean, callback: Callback): AsyncFD {
  requireDelay(timeoutMs);
  if (typeof oneshot !== "boolean") throw new TypeError(`oneshot is true or false, got ${typeName(oneshot)}`);
  if (typeof callback !== "function") throw new TypeError(`Expected a callback, got ${typeName(callback)}`);
  if (timeoutMs < 0 || (timeoutMs === 0 && !oneshot)) throw new ValueError(`No timer of ${timeoutMs} ms`);
  return timerDescriptor(new CallbackTimer(getGlobalDispatcher(), timeoutMs, oneshot, callback).id);
}
