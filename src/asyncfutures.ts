import { AssertionDefect, typeName, ValueError } from "./errors.ts";

/** Takes a callback that is to run in the next callback phase. Nim: the proc of `getCallSoonProc`. */
export type CallSoonProc = (callback: () => void) => void;

/** As {@link CallSoonProc}, with the argument beside the function, which spares a closure per callback. */
export type Enqueue = (callback: (argument: never) => void, argument: unknown) => void;

/** Callbacks are queued, never run inline; without a dispatcher the queue is the microtask queue. */
let enqueue: Enqueue = (callback, argument) => queueMicrotask(() => callback(argument as never));

/** Sets where the callbacks of futures are queued. The dispatcher calls it once, when it is loaded. */
export function setEnqueue(hook: Enqueue): void {
  enqueue = hook;
}

const PENDING = 0;
const COMPLETED = 1;
const FAILED = 2;

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

type AnyCallback = (future: never) => void;

/** A method's type, so that a `Future<string>` is a `Future<unknown>` although it has a setter of callbacks. */
type FutureCallback<F> = { call(future: F): void }["call"];

/**
 * What every future has, whatever it carries: a state, an error and callbacks. Nim: `FutureBase`.
 */
export class FutureBase {
  /** A number that no other future of this thread has. */
  readonly id: number = ++lastId;
  /** Who made the future: the name given at creation, or the name of the asynchronous procedure. */
  readonly fromProc: string;
  protected state: typeof PENDING | typeof COMPLETED | typeof FAILED = PENDING;
  private failure: Error | null = null;
  /** One callback is the common case and needs no array. */
  private callbacks: AnyCallback | AnyCallback[] | undefined = undefined;

  constructor(fromProc: string) {
    this.fromProc = fromProc;
  }

  /** Whether it has a value or an error. */
  get finished(): boolean {
    return this.state !== PENDING;
  }

  /** Whether it has an error. */
  get failed(): boolean {
    return this.state === FAILED;
  }

  /** The error; null while pending and after a value. */
  get error(): Error | null {
    return this.failure;
  }

  /** The stack of the error, empty without one. */
  get errorStackTrace(): string {
    return this.failure?.stack ?? "";
  }

  /**
   * Calls `callback` with this future once it is finished: always from the callback phase of a poll, never
   * inline, also when it is finished already. Callbacks run in the order in which they were added.
   *
   * @throws TypeError when `callback` is not a function
   */
  addCallback(callback: (future: this) => void): void {
    requireFunction(callback);
    if (this.state !== PENDING) enqueue(callback, this);
    else if (this.callbacks === undefined) this.callbacks = callback;
    else if (typeof this.callbacks === "function") this.callbacks = [this.callbacks, callback];
    else this.callbacks.push(callback);
  }

  /** Takes back one registration of `callback`; does nothing when there is none or it is queued already. */
  removeCallback(callback: (future: this) => void): void {
    if (this.callbacks === callback) {
      this.callbacks = undefined;
    } else if (Array.isArray(this.callbacks)) {
      const index = this.callbacks.indexOf(callback);
      if (index !== -1) this.callbacks.splice(index, 1);
    }
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
    this.callbacks = undefined;
  }

  /**
   * The error of a failed future.
   *
   * @throws ValueError `No error in future.` when it is pending or has a value
   */
  readError(): Error {
    if (this.failure === null) throw new ValueError("No error in future.");
    return this.failure;
  }

  /**
   * Finishes the future with an error and queues its callbacks.
   *
   * @throws FutureError when it is finished already
   * @throws TypeError when `error` is not an Error
   */
  fail(error: Error): void {
    if (!(error instanceof Error)) throw new TypeError(`A future fails with an Error, not with ${typeName(error)}`);
    this.requirePending();
    this.failure = error;
    this.settle(FAILED);
  }

  toString(): string {
    const state = ["pending", "completed", "failed"][this.state];
    return `${this.constructor.name} ${this.id} (${state}, from ${this.fromProc})`;
  }

  protected settle(state: typeof COMPLETED | typeof FAILED): void {
    this.state = state;
    const callbacks = this.callbacks;
    if (callbacks === undefined) return;
    this.callbacks = undefined;
    if (typeof callbacks === "function") enqueue(callbacks, this);
    else for (const callback of callbacks) enqueue(callback, this);
  }

  protected requirePending(): void {
    if (this.state !== PENDING) throw new FutureError(this.describeSecondCompletion(), this);
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
      "    not recorded",
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
  private value: T | undefined = undefined;

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
    if (this.state !== PENDING) this.requirePending();
    this.value = value;
    this.settle(COMPLETED);
  }

  /**
   * The value.
   *
   * @throws the error of a failed future, the very object
   * @throws ValueError `Future still in progress.` while pending
   */
  read(): T {
    if (this.state === COMPLETED) return this.value as T;
    if (this.state === FAILED) throw this.readError();
    throw new ValueError("Future still in progress.");
  }

  // biome-ignore lint/suspicious/noThenProperty: a future is awaited in native code, so it is a thenable
  then<V = T, E = never>(
    onFulfilled?: ((value: T) => V | PromiseLike<V>) | null,
    onRejected?: ((reason: Error) => E | PromiseLike<E>) | null,
  ): Promise<V | E> {
    return new Promise<T>((resolve, reject) => {
      const forward = (): void => {
        if (this.state === COMPLETED) resolve(this.value as T);
        else reject(this.error);
      };
      if (this.state === PENDING) this.addCallback(forward);
      else forward();
    }).then(onFulfilled, onRejected);
  }

  catch<E = never>(onRejected?: ((reason: Error) => E | PromiseLike<E>) | null): Promise<T | E> {
    return this.then(null, onRejected);
  }

  finally(onFinally?: (() => void) | null): Promise<T> {
    return this.then().finally(onFinally);
  }

  /** Makes `yield* future` wait inside an {@link async} procedure; it gives the value or raises the error. */
  [Symbol.iterator](): Iterator<Future<T>, T> {
    return new Await(this);
  }

  protected override describeContents(): string {
    return typeof this.value === "string" ? `  Contents (string): \n    ${this.value}\n` : "";
  }
}

/** One `yield*`: hands the pending future to the procedure's driver, then gives its value. */
class Await<T> implements Iterator<Future<T>, T> {
  private readonly future: Future<T>;
  private asked = false;

  constructor(future: Future<T>) {
    this.future = future;
  }

  next(): IteratorResult<Future<T>, T> {
    // Asked a second time while pending, it was not a driver that asked: read() says so instead of looping.
    if (this.asked || this.future.finished) return { done: true, value: this.future.read() };
    this.asked = true;
    return { done: false, value: this.future };
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
  if (future.error !== null) throw future.error;
}

/**
 * Completes when both have completed; fails at once when one fails, with its error. Nim: `and`.
 */
export function and(a: Future<unknown>, b: Future<unknown>): Future<void> {
  return gather([requireFuture(a), requireFuture(b)], new Future<void>("and"), () => undefined);
}

/**
 * Finishes as the first of the two does; the other goes on and its outcome is dropped. When both are finished
 * already, `a` decides. Nim: `or`.
 */
export function or(a: Future<unknown>, b: Future<unknown>): Future<void> {
  requireFuture(a);
  requireFuture(b);
  const either = new Future<void>("or");
  const decide = (first: Future<unknown>): void => {
    if (either.finished) return;
    // The loser may stay pending for long: nothing of this must stay with it.
    (first === a ? b : a).removeCallback(decide);
    if (first.error === null) either.complete();
    else either.fail(first.error);
  };
  a.addCallback(decide);
  b.addCallback(decide);
  return either;
}

/**
 * Completes with every value, in the order of the arguments; fails at once with the first failure. Finished at
 * return when there are no futures. Nim: `all`.
 */
export function all<T>(futures: Iterable<Future<T>>): Future<T[]> {
  const members = Array.from(futures, requireFuture) as Future<T>[];
  return gather(members, new Future<T[]>("all"), () => members.map((member) => member.read()));
}

/** Completes `result` once every member has completed, or fails it with the first failure. */
function gather<R>(members: Future<unknown>[], result: Future<R>, value: () => R): Future<R> {
  let missing = members.length;
  const count = (member: Future<unknown>): void => {
    if (result.finished) return;
    missing -= 1;
    if (member.error !== null) {
      for (const other of members) other.removeCallback(count);
      result.fail(member.error);
    } else if (missing === 0) {
      result.complete(value());
    }
  };
  if (missing === 0) result.complete(value());
  for (const member of members) member.addCallback(count);
  return result;
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
