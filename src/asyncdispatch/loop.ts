import { drainMicrotasks } from "bun:jsc";
import { asError, Future, requireFuture, setEnqueue } from "../asyncfutures.ts";
import { type CancelOption, hasSignal, withSignal } from "../cancellation.ts";
import { CombinedFuture } from "../combinators.ts";
import { type Dispatcher, getGlobalDispatcher } from "../dispatcher.ts";
import { type CancelledError, OSError, typeName, ValueError } from "../errors.ts";
import { logFinished } from "../futurelogging.ts";
import { socket } from "../native/socket.ts";
import type { TimerId } from "../timers.ts";

// The callbacks of futures run in the callback phase of the dispatcher that is current when they are queued.
setEnqueue((callback, argument) => getGlobalDispatcher().enqueue(callback, argument));

/** {@link Dispatcher.poll} of the global dispatcher. */
export function poll(timeoutMs = 500): void {
  getGlobalDispatcher().poll(timeoutMs);
}

/** {@link Dispatcher.drain} of the global dispatcher. */
export function drain(timeoutMs = 500): void {
  getGlobalDispatcher().drain(timeoutMs);
}

/**
 * Polls for ever. It ends by an exception: of a callback, or the ValueError of {@link poll} once nothing is
 * pending. Bun's own timers, sockets and fetches do not run meanwhile.
 */
export function runForever(): never {
  for (;;) getGlobalDispatcher().poll(-1);
}

/**
 * Polls until a future or a promise is finished and gives its value. Blocks this JavaScript thread: promise
 * reactions run, but Bun's own timers, sockets and fetches do not.
 *
 * @throws the error of the future, or the reason of the promise; or the exception of any callback that runs meanwhile
 * @throws ValueError `No handles or timers registered in dispatcher.` when nothing of the dispatcher can finish it
 * @throws TypeError when it is neither
 * @example
 * const data = waitFor(recv(socket, 4096));
 */
export function waitFor<T>(awaitable: Future<T> | PromiseLike<T>): T {
  if (awaitable instanceof Future) return waitForFuture(awaitable);
  if (typeof awaitable?.then !== "function") {
    throw new TypeError(`Expected a Future or a promise, got ${typeName(awaitable)}`);
  }
  let reason: { readonly value: unknown } | undefined;
  const future = new Future<T>("waitFor");
  awaitable.then(
    (value) => future.complete(value),
    (value) => {
      reason = { value };
      future.fail(asError(value));
    },
  );
  try {
    return waitForFuture(future);
  } catch (error) {
    throw reason === undefined ? error : reason.value;
  }
}

function waitForFuture<T>(future: Future<T>): T {
  pollUntilFinished(future);
  return future.read();
}

/** As {@link waitFor}, but it does not look at how the future finished. */
export function pollUntilFinished(future: Future<unknown>): void {
  if (!future.finished) drainMicrotasks();
  while (!future.finished) getGlobalDispatcher().poll(-1);
}

/** {@link Dispatcher.callSoon} of the global dispatcher. */
export function callSoon(callback: () => void): void {
  getGlobalDispatcher().callSoon(callback);
}

/** {@link Dispatcher.hasPendingOperations} of the global dispatcher. */
export function hasPendingOperations(): boolean {
  return getGlobalDispatcher().hasPendingOperations();
}

/** {@link Dispatcher.activeDescriptors} of the global dispatcher. */
export function activeDescriptors(): number {
  return getGlobalDispatcher().activeDescriptors();
}

/**
 * How many descriptors this process may have: the soft RLIMIT_NOFILE less one, as in Nim.
 *
 * @throws OSError when the system does not tell
 */
export function maxDescriptors(): number {
  const limit = socket.descriptor_limit();
  if (limit < 0) throw new OSError(-limit, "getrlimit");
  return limit - 1;
}

/**
 * A future that completes after `ms` milliseconds; fractions count, 0 and less mean the next poll. It is never
 * finished at return and never early. Cancelled, or its `signal` aborted, it leaves no timer. Nim: `sleepAsync`.
 *
 * @throws TypeError when `ms` is not a number or the options are none; ValueError when it is NaN or infinite
 */
export function sleepAsync(ms: number, options?: CancelOption): Future<void> {
  requireDelay(ms);
  if (hasSignal(options)) return withSignal(options, () => sleepAsync(ms));
  return new Sleep(getGlobalDispatcher(), ms);
}

/** The future of a timer. */
class Sleep extends Future<void> {
  private readonly dispatcher: Dispatcher;
  private readonly timer: TimerId;

  constructor(dispatcher: Dispatcher, delayMs: number) {
    super("sleepAsync");
    this.dispatcher = dispatcher;
    try {
      this.timer = dispatcher.startTimer(delayMs, this);
    } catch (error) {
      // The future of a timer that does not start.
      logFinished(this);
      throw error;
    }
  }

  protected override tryCancel(error: CancelledError): boolean {
    this.dispatcher.cancelTimer(this.timer);
    this.fail(error);
    return true;
  }
}

/**
 * Whether `future` completes within `timeoutMs`: true, false, or its error. The future itself goes on, keeps its
 * other waiters, and what becomes of it later is dropped here. Nim: `withTimeout`.
 *
 * @throws TypeError when `timeoutMs` is not a number; ValueError when it is NaN or infinite
 */
export function withTimeout(future: Future<unknown>, timeoutMs: number): Future<boolean> {
  requireFuture(future);
  const timeout = sleepAsync(timeoutMs);
  const inTime = new CombinedFuture<boolean>("withTimeout");
  const onFinished = (): void => {
    timeout.removeCallback(onTimeout);
    timeout.cancel();
    if (inTime.finished) return;
    if (future.error === null) inTime.complete(true);
    else inTime.fail(future.error);
  };
  const onTimeout = (): void => {
    if (inTime.finished) return;
    future.removeCallback(onFinished);
    // What has finished in this very poll has finished in time.
    if (future.finished) onFinished();
    else if (timeout.error === null) inTime.complete(false);
    else inTime.fail(timeout.error);
  };
  inTime.detach = () => {
    future.removeCallback(onFinished);
    timeout.removeCallback(onTimeout);
    timeout.cancel();
  };
  timeout.addCallback(onTimeout);
  future.addCallback(onFinished);
  return inTime;
}

/** @throws TypeError when it is not a number; ValueError when it is NaN or infinite */
export function requireDelay(ms: unknown): number {
  if (typeof ms !== "number") throw new TypeError(`Expected milliseconds, got ${typeName(ms)}`);
  if (!Number.isFinite(ms)) throw new ValueError(`Cannot wait for ${ms} ms`);
  return ms;
}
