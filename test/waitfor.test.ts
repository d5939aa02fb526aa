import { expect, test } from "bun:test";
import {
  addRead,
  callSoon,
  getGlobalDispatcher,
  newFuture,
  poll,
  sleepAsync,
  ValueError,
  waitFor,
} from "../src/index.ts";
import { expectThrow, onEachBackend, readableFifo, thrownBy } from "./backends.ts";

const NOTHING_PENDING = "No handles or timers registered in dispatcher.";

onEachBackend(() => {
  test("waitFor a finished future gives its value without polling", () => {
    const future = newFuture<number>();
    future.complete(42);
    expect(waitFor(future)).toBe(42);
    expect(getGlobalDispatcher().statistics().polls).toBe(0);
  });

  test("waitFor a failed future raises its very error", () => {
    const error = new Error("failed");
    const future = newFuture();
    callSoon(() => future.fail(error));
    expect(thrownBy(() => waitFor(future))).toBe(error);
  });

  test("waitFor a future that nothing can finish raises the ValueError", () => {
    expectThrow(() => waitFor(newFuture()), ValueError, NOTHING_PENDING);
  });

  test("waitFor a promise that microtasks alone resolve gives its value without polling", () => {
    const compute = async (): Promise<number> => {
      await null;
      await Promise.resolve();
      return 42;
    };
    expect(waitFor(compute())).toBe(42);
    expect(getGlobalDispatcher().statistics().polls).toBe(0);
  });

  test("waitFor a promise that waits for one of our futures gives its value", () => {
    const compute = async (): Promise<string> => {
      await sleepAsync(2);
      await sleepAsync(2);
      return "slept";
    };
    expect(waitFor(compute())).toBe("slept");
  });

  test.each([["a string"], [undefined], [42]])(
    "waitFor a promise that rejects with %p throws that very value",
    (reason) => {
      expect(thrownBy(() => waitFor(Promise.reject(reason)))).toBe(reason);
    },
  );

  test("waitFor a promise that nobody settles raises the ValueError", () => {
    expectThrow(() => waitFor(new Promise(() => {})), ValueError, NOTHING_PENDING);
  });

  test("waitFor(42) raises a TypeError", () => {
    expectThrow(() => waitFor(42 as never), TypeError, "Expected a Future or a promise, got number");
  });

  test("waitFor(null) raises a TypeError", () => {
    expectThrow(() => waitFor(null as never), TypeError, "Expected a Future or a promise, got null");
  });

  test("waitFor a thenable that settles at once gives its value", () => {
    // biome-ignore lint/suspicious/noThenProperty: a foreign thenable is what is tested
    expect(waitFor({ then: (resolve: (value: string) => void) => resolve("at once") } as PromiseLike<string>)).toBe(
      "at once",
    );
  });

  test("a nested waitFor in a readiness callback works", () => {
    let inner = "";
    addRead(readableFifo(), () => {
      waitFor(sleepAsync(5));
      inner = "slept";
      return true;
    });
    poll();
    expect(inner).toBe("slept");
  });

  test("a nested waitFor in a queued callback works", () => {
    const log: string[] = [];
    callSoon(() => {
      waitFor(sleepAsync(5));
      log.push("slept");
    });
    callSoon(() => log.push("queued behind"));
    poll();
    expect(log).toEqual(["queued behind", "slept"]);
  });
});
