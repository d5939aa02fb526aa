import { describe, expect, expectTypeOf, test } from "bun:test";
import {
  async,
  awaited,
  CancelledError,
  callSoon,
  Future,
  getGlobalDispatcher,
  multisync,
  newFuture,
  sleepAsync,
} from "../src/index.ts";
import { expectThrow, onEachBackend, thrownBy } from "./backends.ts";
import { waitFor } from "./bounded.ts";

/** A future that completes in the next callback phase. */
function soon<T>(value: T): Future<T> {
  const future = newFuture<T>("soon");
  callSoon(() => future.complete(value));
  return future;
}

/** A future that fails in the next callback phase. */
function failingSoon(error: Error): Future<never> {
  const future = newFuture<never>("failingSoon");
  callSoon(() => future.fail(error));
  return future;
}

onEachBackend(() => {
  const forms = {
    sync: <A extends unknown[], T>(proc: (...args: A) => Generator<unknown, T>, ...args: A): T =>
      multisync(proc).sync(...args),
    async: <A extends unknown[], T>(proc: (...args: A) => Generator<unknown, T>, ...args: A): T =>
      waitFor(multisync(proc).async(...args)),
  };

  describe.each(["sync", "async"] as const)("the %s form", (form) => {
    const run = forms[form];

    test("yield* of a future gives its value", () => {
      expect(
        run(function* (a: number) {
          return a + (yield* soon(2));
        }, 1),
      ).toBe(3);
    });

    test("yield* of a finished future gives its value", () => {
      const future = newFuture<string>();
      future.complete("value");
      expect(
        run(function* () {
          return yield* future;
        }),
      ).toBe("value");
    });

    test("yield* of a future raises its error, which the body can catch", () => {
      const error = new Error("reason");
      expect(
        run(function* () {
          try {
            yield* failingSoon(error);
          } catch (caught) {
            return caught;
          }
          return undefined;
        }),
      ).toBe(error);
    });

    test("yield of a future waits, and gives its value or raises nothing", () => {
      expect(
        run(function* (): Generator<unknown, unknown> {
          const failing = failingSoon(new Error("reason"));
          return [yield soon(1), yield failing, failing.failed];
        }),
      ).toEqual([1, undefined, true]);
    });

    test("yield of a promise gives its value", () => {
      expect(
        run(function* (): Generator<unknown, unknown> {
          return yield soon("value").then((value) => `promised ${value}`);
        }),
      ).toBe("promised value");
    });

    test("yield of a promise raises its reason in the body", () => {
      const reason = new Error("reason");
      expect(
        run(function* () {
          try {
            yield Promise.reject(reason);
          } catch (caught) {
            return caught;
          }
          return undefined;
        }),
      ).toBe(reason);
    });

    test.each([42, "text", null, undefined, ["a", "b"]])("yield of %p gives it back", (value) => {
      expect(
        run(function* (): Generator<unknown, unknown> {
          return yield value;
        }),
      ).toBe(value);
    });

    test("yield* awaited takes a future, a promise and any value", () => {
      expect(
        run(function* () {
          return [
            yield* awaited(soon(1)),
            yield* awaited(Promise.resolve(2)),
            yield* awaited(3),
            yield* awaited("four"),
            yield* awaited([5]),
            yield* awaited(null),
          ];
        }),
      ).toEqual([1, 2, 3, "four", [5], null]);
    });

    test("yield* awaited raises what its promise or future fails with", () => {
      const error = new Error("reason");
      const caught = run(function* () {
        const errors: unknown[] = [];
        for (const failing of [Promise.reject(error), failingSoon(error)]) {
          try {
            yield* awaited<never>(failing);
          } catch (reason) {
            errors.push(reason);
          }
        }
        return errors;
      });
      expect(caught).toEqual([error, error]);
    });

    test("what the body throws is its failure", () => {
      const error = new Error("reason");
      const failing = function* (): Generator<unknown, never> {
        yield* soon(1);
        throw error;
      };
      expect(thrownBy(() => run(failing))).toBe(error);
    });

    test("a function that is no generator function is a TypeError", () => {
      const plain = function plain() {
        return 42;
      } as never as () => Generator<unknown, never>;
      expectThrow(() => run(plain), TypeError, "Procedure (plain) is no generator function");
    });

    test("an asynchronous generator function is a TypeError", () => {
      const proc = async function* both() {} as never;
      expectThrow(() => run(proc), TypeError, "Procedure (both) is no generator function");
    });

    test("a finally block may wait", () => {
      const log: string[] = [];
      run(function* () {
        try {
          yield* soon(1);
        } finally {
          log.push(yield* soon("cleaned up"));
        }
      });
      expect(log).toEqual(["cleaned up"]);
    });
  });

  test("the sync form waits with the loop, and leaves nothing pending", () => {
    const sleep = multisync(function* (ms: number) {
      yield* sleepAsync(ms);
    });
    const start = performance.now();
    sleep.sync(5);
    expect(performance.now() - start).toBeGreaterThanOrEqual(5);
    expect(getGlobalDispatcher().hasPendingOperations()).toBe(false);
  });

  test("while the sync form waits for a future, procedures may wait for it as well", () => {
    const shared = newFuture<number>();
    const other = async(function* () {
      yield* sleepAsync(0);
      return yield* shared;
    })();
    const finish = async(function* () {
      yield* sleepAsync(1);
      shared.complete(7);
    });
    finish();
    const wait = multisync(function* () {
      return (yield* shared) as number;
    });
    expect(wait.sync()).toBe(7);
    expect(waitFor(other)).toBe(7);
  });

  test("the sync form raises, where it waits, that nothing is pending; the future stays usable", () => {
    const future = newFuture<number>();
    const wait = multisync(function* () {
      try {
        return yield* future;
      } catch (error) {
        callSoon(() => future.complete(1));
        return [(error as Error).message, yield* future];
      }
    });
    expect(wait.sync()).toEqual(["No handles or timers registered in dispatcher.", 1]);
  });

  test("the async form gives a future named after the function, before the body waits", () => {
    const log: string[] = [];
    const proc = multisync(function* fetchAll() {
      log.push("start");
      yield* sleepAsync(0);
    });
    const future = proc.async();
    expect(log).toEqual(["start"]);
    expect(future).toBeInstanceOf(Future);
    expect(future.fromProc).toBe("fetchAll");
    waitFor(future);
  });

  test("the async form can be cancelled", () => {
    const log: string[] = [];
    const future = multisync(function* () {
      try {
        yield* sleepAsync(60_000);
      } finally {
        log.push("cleaned up");
      }
    }).async();
    future.cancel();
    expect(thrownBy(() => waitFor(future))).toBeInstanceOf(CancelledError);
    expect(log).toEqual(["cleaned up"]);
  });

  test("`this` reaches the body in both forms", () => {
    const counter = {
      base: 10,
      ...multisync(function* (this: { base: number }, n: number) {
        return this.base + (yield* soon(n));
      } as (n: number) => Generator<unknown, number>),
    };
    expect([counter.sync(1), waitFor(counter.async(2))]).toEqual([11, 12]);
  });

  test("a procedure awaits the async form", () => {
    const inner = multisync(function* () {
      return yield* soon("inner");
    });
    const outer = async(function* () {
      return `outer ${yield* inner.async()}`;
    });
    expect(waitFor(outer())).toBe("outer inner");
  });
});

test("multisync of what is no function raises a TypeError", () => {
  expectThrow(() => multisync(42 as never), TypeError, "Expected a function, got number");
});

test("types: both forms have the arguments and the result of the body", () => {
  const proc = multisync(function* (size: number) {
    expectTypeOf(yield* awaited(newFuture<string>())).toEqualTypeOf<string>();
    expectTypeOf(yield* awaited(Promise.resolve(1))).toEqualTypeOf<number>();
    expectTypeOf(yield* awaited(size)).toEqualTypeOf<number>();
    return `${size}`;
  });
  expectTypeOf(proc.sync).toEqualTypeOf<(size: number) => string>();
  expectTypeOf(proc.async).toEqualTypeOf<(size: number) => Future<string>>();
});
