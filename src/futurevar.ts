import { COMPLETED, FutureBase, PENDING } from "./asyncfutures.ts";
import { ValueError } from "./errors.ts";
import { isFutureLoggingEnabled, logPending } from "./futurelogging.ts";

/**
 * A future whose value can be changed before it is finished, and that can be used again after {@link clean}. It
 * cannot be awaited: a callback tells when it is finished. Nim: `FutureVar[T]`.
 *
 * @example
 * const line = newFutureVar<string>("line");
 * line.value = "";
 * line.addCallback(() => console.log(line.read()));
 * line.value += "text";
 * line.complete();
 */
export class FutureVar<T> extends FutureBase {
  /** The value so far, whether finished or not; undefined until it is set. Nim: `mget`. */
  value: T = undefined as T;

  /**
   * Finishes it and queues its callbacks: with `value`, or without an argument with the value that it has.
   *
   * @throws FutureError when it is finished already
   */
  complete(...given: [value?: T]): void {
    this.settle(COMPLETED, undefined);
    if (given.length > 0) this.value = given[0] as T;
  }

  /**
   * The value.
   *
   * @throws the error of a failed one, the very object
   * @throws ValueError `Future still in progress.` while pending
   */
  read(): T {
    if (this.error !== null) throw this.error;
    if (!this.finished) throw new ValueError("Future still in progress.");
    return this.value;
  }

  /** The value so far: what {@link value} gives. JavaScript has no `var T`; assign to `value` to replace it. */
  mget(): T {
    return this.value;
  }

  /** Makes it pending again, without its error. The value and the callbacks stay. */
  clean(): void {
    if (!this.finished) return;
    this.observe();
    this.state = PENDING;
    this.result = undefined;
    if (isFutureLoggingEnabled) logPending(this);
  }

  protected override describeContents(): string {
    return typeof this.value === "string" ? `  Contents (string): \n    ${this.value}\n` : "";
  }
}

/**
 * A new pending {@link FutureVar}.
 *
 * @param fromProc a name for messages and logs
 */
export function newFutureVar<T>(fromProc = "unspecified"): FutureVar<T> {
  return new FutureVar<T>(fromProc);
}
