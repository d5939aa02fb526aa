import { expect, expectTypeOf, test } from "bun:test";
import {
  AssertionDefect,
  async,
  CancelledError,
  callSoon,
  drain,
  type Future,
  getGlobalDispatcher,
  newFuture,
  poll,
  sleepAsync,
  ValueError,
  waitFor,
} from "../src/index.ts";
import { expectThrow, onEachBackend, thrownBy } from "./backends.ts";

/** A future that has completed with `value`. */
function completedWith<T>(value: T): Future<T> {
  const future = newFuture<T>("completed");
  future.complete(value);
  return future;
}

/** A future that has failed with `error`. */
function failedWith(error: Error): Future<never> {
  const future = newFuture<never>("failed");
  future.fail(error);
  return future;
}

onEachBackend(() => {
  test("a procedure runs up to its first unfinished future before it returns", () => {
    const log: string[] = [];
    const proc = async(function* () {
      log.push("start");
      yield* sleepAsync(0);
      log.push("end");
    });
    const future = proc();
    log.push("returned");
    waitFor(future);
    expect(log).toEqual(["start", "returned", "end"]);
  });

  test("awaiting a finished future does not suspend", () => {
    const proc = async(function* () {
      const first = yield* completedWith("a");
      yield completedWith("ignored");
      return first + (yield* completedWith("b"));
    });
    expect(proc().read()).toBe("ab");
    expect(getGlobalDispatcher().hasPendingOperations()).toBe(false);
  });

  test("awaiting finished futures 100,000 times needs no stack and no poll", () => {
    const one = completedWith(1);
    const proc = async(function* () {
      let sum = 0;
      for (let i = 0; i < 100_000; i++) {
        sum += yield* one;
        yield one;
      }
      return sum;
    });
    expect(proc().read()).toBe(100_000);
  });

  test("awaiting unfinished futures 20,000 times needs no stack", () => {
    const proc = async(function* () {
      for (let i = 0; i < 20_000; i++) {
        const future = newFuture();
        callSoon(() => future.complete());
        yield* future;
      }
    });
    waitFor(proc());
  });

  test("waiters of one future resume in the order in which they began to wait", () => {
    const future = newFuture();
    const log: string[] = [];
    const wait = async(function* (name: string) {
      yield* future;
      log.push(name);
      yield* future;
      log.push(`${name}2`);
    });
    const waiters = ["a", "b", "c"].map(wait);
    future.complete();
    log.push("completed");
    for (const waiter of waiters) waitFor(waiter);
    expect(log).toEqual(["completed", "a", "a2", "b", "b2", "c", "c2"]);
  });

  test("waiters that wait again for something unfinished resume in the order in which they began to", () => {
    const log: string[] = [];
    const [first, second] = [newFuture(), newFuture()];
    const wait = async(function* (name: string) {
      yield* first;
      log.push(name);
      yield* second;
      log.push(`${name}2`);
    });
    const waiters = ["a", "b", "c"].map(wait);
    first.complete();
    callSoon(() => second.complete());
    for (const waiter of waiters) waitFor(waiter);
    expect(log).toEqual(["a", "b", "c", "a2", "b2", "c2"]);
  });

  test("yield* gives the value", () => {
    const proc = async(function* () {
      const future = newFuture<string>();
      callSoon(() => future.complete("value"));
      return yield* future;
    });
    expect(waitFor(proc())).toBe("value");
  });

  test("yield* raises the error, which the body can catch", () => {
    const proc = async(function* () {
      const future = newFuture();
      callSoon(() => future.fail(new Error("reason")));
      try {
        yield* future;
      } catch (error) {
        return (error as Error).message;
      }
      return "nothing was raised";
    });
    expect(waitFor(proc())).toBe("reason");
  });

  test("yield waits without raising", () => {
    const proc = async(function* () {
      const future = newFuture();
      callSoon(() => future.fail(new Error("reason")));
      yield future;
      return { failed: future.failed, message: future.readError().message };
    });
    expect(waitFor(proc())).toEqual({ failed: true, message: "reason" });
  });

  test("yield of a failed future does not raise", () => {
    const proc = async(function* () {
      yield failedWith(new Error("reason"));
      return "went on";
    });
    expect(proc().read()).toBe("went on");
  });

  test("an error before the first await fails the future and is not thrown to the caller", () => {
    const error = new Error("early");
    // biome-ignore lint/correctness/useYield: the error comes before any await
    const proc = async(function* (): Generator<Future<void>, void> {
      throw error;
    });
    const future = proc();
    expect(future.error).toBe(error);
  });

  test("an AssertionDefect in the body fails the future as any other error", () => {
    const proc = async(function* () {
      yield* sleepAsync(0);
      throw new AssertionDefect("broken rule");
    });
    expectThrow(() => waitFor(proc()), AssertionDefect, "broken rule");
  });

  test("what is thrown and is no Error is wrapped in one, as its cause", () => {
    // biome-ignore lint/correctness/useYield: the error comes before any await
    const proc = async(function* (): Generator<Future<void>, void> {
      throw "text";
    });
    expect(proc().error).toMatchObject({ message: "text", cause: "text" });
  });

  test("the same error object travels through the whole chain", () => {
    const error = new Error("innermost");
    const inner = async(function* () {
      yield* sleepAsync(0);
      throw error;
    });
    const middle = async(function* () {
      yield* inner();
    });
    const outer = async(function* () {
      yield* middle();
    });
    expect(thrownBy(() => waitFor(outer()))).toBe(error);
    expect(error.message).toBe("innermost");
  });

  test("asyncStack names the procedures that the error left, innermost first", () => {
    const inner = async(function* inner() {
      yield* sleepAsync(0);
      throw new Error("reason");
    });
    const outer = async(function* outer() {
      yield* inner();
    });
    const error = thrownBy(() => waitFor(outer())) as { asyncStack?: string };
    expect(error.asyncStack).toBe("    at async inner\n    at async outer");
  });

  test("a frozen error travels without asyncStack", () => {
    const error = Object.freeze(new Error("frozen"));
    const proc = async(function* () {
      yield* failedWith(error);
    });
    expect(thrownBy(() => waitFor(proc()))).toBe(error);
  });

  test("an await in finally runs before the future is finished", () => {
    const log: string[] = [];
    const proc = async(function* () {
      try {
        log.push("body");
        return "result";
      } finally {
        yield* sleepAsync(0);
        log.push("first in finally");
        yield* sleepAsync(0);
        log.push("second in finally");
      }
    });
    const future = proc();
    future.addCallback(() => log.push("finished"));
    drain(1000);
    expect(log).toEqual(["body", "first in finally", "second in finally", "finished"]);
    expect(future.read()).toBe("result");
  });

  test("a return in catch works beside an await in finally", () => {
    const proc = async(function* () {
      try {
        yield* failedWith(new Error("reason"));
      } catch {
        return "caught";
      } finally {
        yield* sleepAsync(0);
      }
      return "went on";
    });
    expect(waitFor(proc())).toBe("caught");
  });

  test("an error in finally replaces the result", () => {
    const proc = async(function* () {
      try {
        yield* sleepAsync(0);
        return "result";
      } finally {
        // biome-ignore lint/correctness/noUnsafeFinally: this is what is tested
        throw new Error("from finally");
      }
    });
    expectThrow(() => waitFor(proc()), Error, "from finally");
  });

  test("an error outlives an await in finally", () => {
    const error = new Error("reason");
    const proc = async(function* () {
      try {
        yield* failedWith(error);
      } finally {
        try {
          yield* failedWith(new Error("caught in finally"));
        } catch {
          yield* sleepAsync(0);
        }
      }
    });
    expect(thrownBy(() => waitFor(proc()))).toBe(error);
  });

  test.each([null, undefined])("yielding %p fails the future with an AssertionDefect", (nothing) => {
    const proc = async(function* careless() {
      yield nothing as never;
    });
    const message = "Async procedure (careless) yielded `nil`, are you await'ing a `nil` Future?";
    expectThrow(() => waitFor(proc()), AssertionDefect, message);
  });

  test("yielding a number raises a TypeError inside the generator", () => {
    const proc = async(function* careless() {
      try {
        yield 42 as never;
      } catch (error) {
        return error as Error;
      }
      return undefined;
    });
    const error = waitFor(proc());
    expect(error).toBeInstanceOf(TypeError);
    expect(error?.message).toBe("Async procedure (careless) yielded number, expected a Future");
  });

  test("yielding a promise raises a TypeError that says so", () => {
    const proc = async(function* careless() {
      yield Promise.resolve() as never;
    });
    expectThrow(() => waitFor(proc()), TypeError, "Async procedure (careless) yielded Promise, expected a Future");
  });

  test("a chain of 1000 procedures, each awaiting the next, finishes in one poll", () => {
    const nested = async(function* (depth: number): Generator<Future<unknown>, number> {
      if (depth === 0) yield* sleepAsync(0);
      else return 1 + (yield* nested(depth - 1));
      return 1;
    });
    const future = nested(999);
    poll();
    expect(future.read()).toBe(1000);
  });

  test("the future of a procedure that awaits what nothing finishes stays pending, and waitFor says so", () => {
    const proc = async(function* () {
      yield* newFuture();
    });
    expectThrow(() => waitFor(proc()), ValueError, "No handles or timers registered in dispatcher.");
  });

  test("a future at which a procedure was cancelled can still be awaited", () => {
    const future = newFuture<string>();
    const quitter: Future<void> = async(function* () {
      yield* sleepAsync(0);
      quitter.cancel();
      yield* future;
    })();
    expect(thrownBy(() => waitFor(quitter))).toBeInstanceOf(CancelledError);
    const patient = async(function* () {
      return yield* future;
    })();
    future.complete("value");
    expect(waitFor(patient)).toBe("value");
  });

  test("arguments and `this` reach the body", () => {
    const object = {
      base: 10,
      add: async(function* (this: { base: number }, a: number, b: number) {
        yield* sleepAsync(0);
        return this.base + a + b;
      } as (a: number, b: number) => Generator<Future<void>, number>),
    };
    expect(waitFor(object.add(1, 2))).toBe(13);
  });

  test("a procedure and its future have the name of the function", () => {
    const proc = async(function* fetchAll() {
      yield* sleepAsync(0);
    });
    expect(proc.name).toBe("fetchAll");
    expect(proc().fromProc).toBe("fetchAll");
  });

  test("each call of a procedure has its own state", () => {
    const count = async(function* (limit: number) {
      let n = 0;
      while (n < limit) {
        yield* sleepAsync(0);
        n += 1;
      }
      return n;
    });
    expect([count(2), count(3)].map((future) => waitFor(future))).toEqual([2, 3]);
  });

  test("async of what is no function raises a TypeError", () => {
    expectThrow(() => async(42 as never), TypeError, "Expected a function, got number");
  });

  test("a function that is neither a generator nor async fails its future", () => {
    const proc = async(function plain() {
      return 42;
    } as never) as unknown as () => Future<never>;
    const message = "Async procedure (plain) is neither a generator nor an async function";
    expectThrow(() => waitFor(proc()), TypeError, message);
  });

  test("an asynchronous generator fails its future", () => {
    const proc = async(async function* both() {
      yield 42;
    } as never) as unknown as () => Future<never>;
    const message = "Async procedure (both) is neither a generator nor an async function";
    expectThrow(() => waitFor(proc()), TypeError, message);
  });
});

test("types: yield* has the type of the future's value, and the procedure that of its result", () => {
  const proc = async(function* (size: number) {
    const text = yield* completedWith("text");
    expectTypeOf(text).toEqualTypeOf<string>();
    const nothing = yield* newFuture();
    expectTypeOf(nothing).toEqualTypeOf<void>();
    return text.length + size;
  });
  expectTypeOf(proc).toEqualTypeOf<(size: number) => Future<number>>();
  expectTypeOf(waitFor<number>).returns.toEqualTypeOf<number>();
});
