import { currentNative, currentProcedure, noteFailure, noteOrigin, noteRaise } from "./asyncstack.ts";
import { enqueue } from "./callsoon.ts";
import { AssertionDefect, CancelledError, typeName, ValueError } from "./errors.ts";
import { creationStackOf, isFutureLoggingEnabled, logFinished, logPending } from "./futurelogging.ts";
import { inspect } from "./inspect.ts";
import { forgetFailure, reportWhenCollected } from "./unobserved.ts";

export { type CallSoonProc, getCallSoonProc, setCallSoonProc, setEnqueue } from "./callsoon.ts";

export const PENDING = 0;
/** Pending, and a `yield*` has just handed it to the driver of its procedure. */
const AWAITED = 1;
export const COMPLETED = 2;
const FAILED = 3;
/** Failed, and nobody has looked at it yet. */
const UNOBSERVED = 4;
type State = typeof PENDING | typeof AWAITED | typeof COMPLETED | typeof FAILED | typeof UNOBSERVED;

/** Few futures are ever asked for their number, so it takes no room in the others. */
const ids = new WeakMap<FutureBase, number>();
let lastId = 0;

/** A future was finished a second time. Nim: `FutureError`. */
export class FutureError extends Error {
  /** The future that was already finished. */
  override readonly cause: FutureBase;
  constructor(message: string, cause: FutureBase) {
    super(message);
    this.cause = cause;
  }
}
Object.defineProperty(FutureError.prototype, "name", { value: "FutureError", configurable: true, writable: true });

/** Somebody who is resumed when a future is finished: the driver of an asynchronous procedure. */
export interface Resumable {
  resume(): void;
}

type Callback = (future: never) => void;
type Waiter = Callback | Resumable;

function resume(waiter: Resumable): void {
  waiter.resume();
}

/** Resumes a procedure in the next callback phase. */
export function resumeSoon(waiter: Resumable): void {
  enqueue(resume, waiter);
}

/** A method's type, so that a `Future<string>` is a `Future<unknown>` although it has a setter of callbacks. */
type FutureCallback<F> = { call(future: F): void }["call"];

/**
 * What every future has, whatever it carries: a state, an error and callbacks. Nim: `FutureBase`.
 */
export class FutureBase {
  /** Who made the future: the name given at creation, or the name of the asynchronous procedure. */
  readonly fromProc: string;
  protected state: State = PENDING;
  /** The value once completed, the error once failed. */
  protected result: unknown = undefined;
  /** One waiter is the common case and needs no array. */
  private waiters: Waiter | Waiter[] | undefined = undefined;
  /** @internal Called when it is finished. It is no waiter: it takes no notice of a failure, and is never cleared. */
  onSettled: (() => void) | undefined = undefined;

  constructor(fromProc: string) {
    this.fromProc = fromProc;
    if (isFutureLoggingEnabled) logPending(this);
  }

  /** A number that no other future of this thread has. */
  get id(): number {
    let id = ids.get(this);
    if (id === undefined) {
      id = ++lastId;
      ids.set(this, id);
    }
    return id;
  }

  /** Whether it has a value or an error. */
  get finished(): boolean {
    return this.state >= COMPLETED;
  }

  /** Whether it has an error. */
  get failed(): boolean {
    this.observe();
    return this.state === FAILED;
  }

  /** Whether it was cancelled: it has a {@link CancelledError}. */
  get cancelled(): boolean {
    return this.failed && this.result instanceof CancelledError;
  }

  /** The error; null while pending and after a value. */
  get error(): Error | null {
    return this.state >= FAILED ? this.raised() : null;
  }

  /** @internal What `console.log` shows: without it, all of the dispatcher. It is not looking at the future. */
  [inspect](): string {
    const outcome =
      this.state === COMPLETED ? "completed" : this.state >= FAILED ? `failed: ${this.result}` : "pending";
    return `Future<${this.fromProc}> { ${outcome} }`;
  }

  /** The stack of the error, empty without one. */
  get errorStackTrace(): string {
    return this.error?.stack ?? "";
  }

  /**
   * Calls `callback` with this future once it is finished: always from the callback phase of a poll, never
   * inline, also when it is finished already. Callbacks run in the order in which they were added.
   *
   * @throws TypeError when `callback` is not a function
   */
  addCallback(callback: (future: this) => void): void {
    requireFunction(callback);
    this.addWaiter(callback);
  }

  /** @internal As {@link addCallback}, for the driver of a procedure. */
  resumeWhenFinished(waiter: Resumable): void {
    this.handedOver();
    this.addWaiter(waiter);
  }

  /** @internal Who drives a procedure has got the future out of its `yield*`; others may wait for it, too. */
  handedOver(): void {
    if (this.state === AWAITED) this.state = PENDING;
  }

  /** @internal Takes {@link resumeWhenFinished} back. */
  forgetWaiter(waiter: Resumable): void {
    this.removeWaiter(waiter);
  }

  /** Takes back one registration of `callback`; does nothing when there is none or it is queued already. */
  removeCallback(callback: (future: this) => void): void {
    this.removeWaiter(callback);
  }

  /**
   * Clears all callbacks, then adds this one. It takes away every other waiter, a suspended `await` included:
   * `addCallback` is nearly always what is meant. Nim: `callback=`.
   */
  set callback(callback: FutureCallback<this>) {
    requireFunction(callback);
    this.clearCallbacks();
    this.addCallback(callback);
  }

  /** Removes every callback that has not been queued; they will never run. */
  clearCallbacks(): void {
    if (this.waiters !== undefined) this.waiters = [];
  }

  /**
   * The error of a failed future.
   *
   * @throws ValueError `No error in future.` when it is pending or has a value
   */
  readError(): Error {
    const { error } = this;
    if (error === null) throw new ValueError("No error in future.");
    return error;
  }

  /**
   * Finishes the future with an error and queues its callbacks.
   *
   * @throws FutureError when it is finished already
   * @throws TypeError when `error` is not an Error
   */
  fail(error: Error): void {
    if (!(error instanceof Error)) throw new TypeError(`A future fails with an Error, not with ${typeName(error)}`);
    this.settle(FAILED, error);
    noteFailure(this, error);
  }

  /**
   * Gives up what the future stands for: an operation stops waiting, a timer leaves the heap, a procedure has a
   * CancelledError raised where it waits and runs its `finally` blocks. The future then fails with a
   * CancelledError; a procedure may take its time, or go on in spite of it. What has not been read stays in the
   * socket.
   *
   * @param reason becomes the `cause` of the CancelledError
   * @returns false when it is finished already, or when nobody knows how to cancel it: a future of `newFuture`, a
   *   promise, a native async function
   */
  cancel(reason?: unknown): boolean {
    return !this.finished && this.tryCancel(new CancelledError(reason));
  }

  toString(): string {
    const state = ["pending", "pending", "completed", "failed", "failed"][this.state];
    return `${this.constructor.name} ${this.id} (${state}, from ${this.fromProc})`;
  }

  protected settle(state: typeof COMPLETED | typeof FAILED, result: unknown): void {
    if (this.state >= COMPLETED) throw new FutureError(this.describeSecondCompletion(), this);
    this.state = state;
    this.result = result;
    if (isFutureLoggingEnabled) logFinished(this);
    this.onSettled?.();
    this.onSettled = undefined;
    const { waiters } = this;
    if (waiters === undefined) {
      if (state === FAILED && reportWhenCollected(this, result as Error)) this.state = UNOBSERVED;
      return;
    }
    this.waiters = undefined;
    if (Array.isArray(waiters)) for (const waiter of waiters) this.notify(waiter);
    else this.notify(waiters);
  }

  /** @internal Somebody takes notice of how the future has ended. */
  observe(): void {
    if (this.state !== UNOBSERVED) return;
    this.state = FAILED;
    forgetFailure(this);
  }

  /** The error of a failed future, for somebody who gets it now. */
  protected raised(): Error {
    this.observe();
    noteRaise(this, this.result as Error, currentProcedure());
    return this.result as Error;
  }

  protected addWaiter(waiter: Waiter): void {
    if (this.state >= COMPLETED) {
      this.observe();
      this.notify(waiter);
    } else if (this.waiters === undefined) this.waiters = waiter;
    else if (Array.isArray(this.waiters)) this.waiters.push(waiter);
    else this.waiters = [this.waiters, waiter];
  }

  private removeWaiter(waiter: Waiter): void {
    if (this.waiters === waiter) {
      // Not undefined: somebody has waited, so a failure is nothing that nobody knew of.
      this.waiters = [];
    } else if (Array.isArray(this.waiters)) {
      const index = this.waiters.indexOf(waiter);
      if (index !== -1) this.waiters.splice(index, 1);
    }
  }

  private notify(waiter: Waiter): void {
    if (typeof waiter === "function") enqueue(waiter, this);
    else resumeSoon(waiter);
  }

  /** Cancels a pending future, or has it cancelled soon; false when it cannot be. */
  protected tryCancel(_error: CancelledError): boolean {
    return false;
  }

  /** The lines about the value in the message of a {@link FutureError}. */
  protected describeContents(): string {
    return "";
  }

  private describeSecondCompletion(): string {
    const stack = new Error().stack ?? "";
    return [
      "An attempt was made to complete a Future more than once. Details:",
      `  Future ID: ${this.id}`,
      `  Created in proc: ${this.fromProc}`,
      "  Stack trace to moment of creation:",
      creationStackOf(this)?.replace(/^/gm, "    ") ?? "    not recorded",
      `${this.describeContents()}  Stack trace to moment of secondary completion:`,
      stack.replace(/^/gm, "    "),
    ].join("\n");
  }
}

/**
 * A value that is not there yet. Finished once, by `complete` or `fail`; read by `yield*` inside
 * {@link async}, by `await` in native code, by `read()` or by a callback. Nim: `Future[T]`.
 *
 * @example
 * const future = newFuture<number>("answer");
 * future.addCallback((f) => console.log(f.read()));
 * future.complete(42);
 */
export class Future<T> extends FutureBase implements PromiseLike<T> {
  /** A future that finishes as the promise does. A rejection that is not an Error is wrapped in one. */
  static from<T>(promise: PromiseLike<T>): Future<T> {
    if (typeof promise?.then !== "function") throw new TypeError(`Expected a promise, got ${typeName(promise)}`);
    const future = new Future<T>("Future.from");
    promise.then(
      (value) => future.complete(value),
      (reason) => future.fail(asError(reason)),
    );
    return future;
  }

  /**
   * Finishes the future with a value and queues its callbacks.
   *
   * @throws FutureError when it is finished already
   */
  complete(value: T): void {
    this.settle(COMPLETED, value);
  }

  /**
   * The value.
   *
   * @throws the error of a failed future, the very object
   * @throws ValueError `Future still in progress.` while pending
   */
  read(): T {
    if (this.state === COMPLETED) return this.result as T;
    if (this.state >= FAILED) throw this.raised();
    throw new ValueError("Future still in progress.");
  }

  // biome-ignore lint/suspicious/noThenProperty: a future is awaited in native code, so it is a thenable
  then<V = T, E = never>(
    onFulfilled?: ((value: T) => V | PromiseLike<V>) | null,
    onRejected?: ((reason: Error) => E | PromiseLike<E>) | null,
  ): Promise<V | E> {
    const procedure = currentNative();
    return new Promise((resolve, reject) => {
      // One promise, not two: every native `await` comes here.
      const settle = (): void => {
        try {
          if (this.state === COMPLETED) {
            resolve(onFulfilled ? onFulfilled(this.result as T) : (this.result as never));
          } else {
            const error = this.result as Error;
            noteRaise(this, error, procedure);
            if (onRejected) resolve(onRejected(error));
            else reject(error);
          }
        } catch (error) {
          reject(error);
        }
      };
      this.observe();
      if (this.finished) queueMicrotask(settle);
      else this.addWaiter(settle);
    });
  }

  catch<E = never>(onRejected?: ((reason: Error) => E | PromiseLike<E>) | null): Promise<T | E> {
    return this.then(null, onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.then().finally(onFinally);
  }

  /** Makes `yield* future` wait inside an {@link async} procedure; it gives the value or raises the error. */
  [Symbol.iterator](): Iterator<Future<T>, T> {
    // A future is its own iterator: one object less for every `yield*`.
    return this;
  }

  /** @internal One step of a `yield*`: hands the pending future to the driver, then gives its value. */
  next(): IteratorResult<Future<T>, T> {
    // Asked again while pending, it was not a driver that asked: read() says so instead of looping.
    if (this.state !== PENDING) {
      this.handedOver();
      return { done: true, value: this.read() };
    }
    this.state = AWAITED;
    return { done: false, value: this };
  }

  /** @internal A procedure that waits here is cancelled. */
  throw(error: unknown): never {
    this.handedOver();
    throw error;
  }

  /** @internal Whoever iterates leaves early. */
  return(value: T): IteratorResult<Future<T>, T> {
    this.handedOver();
    return { done: true, value };
  }

  protected override describeContents(): string {
    return typeof this.result === "string" ? `  Contents (string): \n    ${this.result}\n` : "";
  }
}

/**
 * A new pending future.
 *
 * @param fromProc a name for messages and logs
 */
export function newFuture<T = void>(fromProc = "unspecified"): Future<T> {
  return new Future<T>(fromProc);
}

/**
 * Lets a future go and has its error, if it fails, thrown out of the loop: by the `poll`, `waitFor`, `drain` or
 * `runForever` in progress. Other waiters keep their callbacks.
 *
 * @throws AssertionDefect `Future is nil` for null and undefined
 * @throws TypeError when it is not a future
 */
export function asyncCheck(future: Future<unknown>): void {
  if (future === null || future === undefined) throw new AssertionDefect("Future is nil");
  requireFuture(future).addCallback(raiseFailure);
}

function raiseFailure(future: FutureBase): void {
  if (future.error === null) return;
  noteOrigin(future, future.error);
  throw future.error;
}

/** The same value when it is an Error, else an Error that carries it as its cause. */
export function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason), { cause: reason });
}

/** @throws TypeError when `value` is not a future */
export function requireFuture<F extends FutureBase>(value: F): F {
  if (!(value instanceof FutureBase)) throw new TypeError(`Expected a Future, got ${typeName(value)}`);
  return value;
}

function requireFunction(callback: unknown): void {
  if (typeof callback !== "function") throw new TypeError(`Expected a callback, got ${typeName(callback)}`);
}
