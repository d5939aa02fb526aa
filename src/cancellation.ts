import { Future } from "./asyncfutures.ts";
import { CancelledError, requireOptions, typeName } from "./errors.ts";

/** Lets an operation be cancelled from outside. */
export interface CancelOption {
  /** Aborted, it fails the operation with a CancelledError whose `cause` is the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** @throws TypeError when the options are no object */
export function hasSignal<O extends CancelOption>(
  options: O | undefined,
): options is O & { readonly signal: AbortSignal } {
  if (options === undefined) return false;
  requireOptions(options);
  return options.signal !== undefined;
}

/**
 * Starts an operation that the signal among its options cancels, with the rest of the options. An aborted signal
 * starts nothing and gives a future that has failed.
 *
 * @throws TypeError when the signal is none
 */
export function withSignal<T, O extends CancelOption>(
  options: O,
  start: (rest: Omit<O, "signal">) => Future<T>,
): Future<T> {
  const { signal, ...rest } = options;
  if (!(signal instanceof AbortSignal)) throw new TypeError(`Expected an AbortSignal, got ${typeName(signal)}`);
  if (signal.aborted) {
    const cancelled = new Future<T>("withSignal");
    cancelled.fail(new CancelledError(signal.reason));
    return cancelled;
  }
  const future = start(rest);
  if (future.finished) return future;
  const onAbort = (): void => void future.cancel(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  future.onSettled = () => signal.removeEventListener("abort", onAbort);
  return future;
}
