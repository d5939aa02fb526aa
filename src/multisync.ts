import { pollUntilFinished, waitFor } from "./asyncdispatch/loop.ts";
import { Future } from "./asyncfutures.ts";
import { async } from "./asyncmacro.ts";
import { asyncBackend } from "./backend.ts";
import { typeName, ValueError } from "./errors.ts";

/** What a body yields: futures it waits for, promises it wants the value of, and plain values. */
// biome-ignore lint/suspicious/noExplicitAny: a body waits for values of every type
type MultisyncBody<T> = Generator<any, T, any>;

/** One procedure in two forms, of {@link multisync}. */
export interface Multisync<A extends unknown[], T> {
  /** Blocks this JavaScript thread where the body waits, as `waitFor` does. */
  sync(...args: A): T;
  /**
   * Gives a future at once, as a procedure of `async` does. With the {@link asyncBackend} `"bun"` it is a native
   * promise instead.
   *
   * @throws ValueError with the asyncBackend `"none"`
   */
  async(...args: A): Future<T>;
}

/**
 * Makes a synchronous and an asynchronous form of one generator function. In its body `yield* future` gives the value
 * or raises the error, and `yield future` waits without raising, as in a procedure of `async`; `yield promise` gives
 * the value or raises the reason; `yield` of anything else gives that. Where the body does not know what it has, and
 * for the right type, `yield* awaited(x)` does all of this: a promise is not iterable, and a string or an array
 * would be iterated by a mere `yield*`. Nim: the `multisync` macro.
 *
 * @throws TypeError when `proc` is not a function
 * @example
 * const readLine = multisync(function* (source: { read(): string | Future<string> }) {
 *   return (yield* awaited(source.read())).trimEnd();
 * });
 * const now = readLine.sync(file);
 * const later = readLine.async(socket);
 */
export function multisync<A extends unknown[], T>(proc: (...args: A) => MultisyncBody<T>): Multisync<A, T> {
  if (typeof proc !== "function") throw new TypeError(`Expected a function, got ${typeName(proc)}`);
  const name = proc.name || "anonymous";
  const start = function (this: unknown, args: A): MultisyncBody<T> {
    const body = proc.apply(this, args);
    if (typeof body?.next === "function" && typeof body[Symbol.iterator] === "function") return body;
    throw new TypeError(`Procedure (${name}) is no generator function`);
  };
  const startAsync = async<A, T>(
    Object.defineProperty(
      function* (this: unknown, ...args: A): Generator<Future<unknown>, T> {
        return yield* yieldingFutures(start.call(this, args));
      },
      "name",
      { value: name },
    ),
  );
  return {
    sync(...args) {
      return runBlocking(start.call(this, args));
    },
    async(...args) {
      if (asyncBackend === "none") {
        throw new ValueError(`Procedure (${name}) has no asynchronous form: asyncBackend is "none"`);
      }
      // Both are awaited alike; only code that is written for the backend "bun" sees the difference.
      if (asyncBackend === "bun") return runNative(() => start.call(this, args)) as unknown as Future<T>;
      return startAsync.apply(this, args);
    },
  };
}

/**
 * What `x` is or will be: the value of a future or of a promise, or `x` itself. For `yield*` inside {@link multisync};
 * an error or a reason is raised there.
 */
export function* awaited<T>(x: Future<T> | PromiseLike<T> | T): Generator<unknown, T> {
  if (x instanceof Future) return yield* x;
  return isPromise(x) ? ((yield x) as T) : x;
}

function isPromise<T>(x: PromiseLike<T> | T): x is PromiseLike<T> {
  return typeof (x as Partial<PromiseLike<T>> | null | undefined)?.then === "function";
}

/** The value of a finished future; a failed one gives none, for `yield*` raises its error itself. */
function valueIn(future: Future<unknown>): unknown {
  return future.failed ? undefined : future.read();
}

function runBlocking<T>(body: MultisyncBody<T>): T {
  let step = body.next();
  while (!step.done) {
    let value: unknown;
    try {
      value = blockFor(step.value);
    } catch (error) {
      step = body.throw(error);
      continue;
    }
    step = body.next(value);
  }
  return step.value;
}

function blockFor(x: unknown): unknown {
  if (!(x instanceof Future)) return isPromise(x) ? waitFor(x) : x;
  x.handedOver();
  pollUntilFinished(x);
  return valueIn(x);
}

/** The body as one that `async` takes. */
function* yieldingFutures<T>(body: MultisyncBody<T>): Generator<Future<unknown>, T> {
  let step = body.next();
  while (!step.done) {
    let value: unknown = step.value;
    try {
      if (value instanceof Future) {
        yield value;
        value = valueIn(value);
      } else if (isPromise(value)) {
        value = yield* Future.from(value);
      }
    } catch (error) {
      step = body.throw(error);
      continue;
    }
    step = body.next(value);
  }
  return step.value;
}

async function runNative<T>(start: () => MultisyncBody<T>): Promise<T> {
  const body = start();
  let step = body.next();
  while (!step.done) {
    let value: unknown = step.value;
    try {
      if (value instanceof Future) {
        value.handedOver();
        await value.then(null, () => undefined);
        value = valueIn(value);
      } else if (isPromise(value)) {
        value = await value;
      }
    } catch (error) {
      step = body.throw(error);
      continue;
    }
    step = body.next(value);
  }
  return step.value;
}
