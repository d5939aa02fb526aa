import { expect, test } from "bun:test";
import {
  AssertionDefect,
  asyncCheck,
  callSoon,
  drain,
  Future,
  newFuture,
  poll,
  sleepAsync,
  ValueError,
  waitFor,
} from "../src/index.ts";
import { expectThrow, onEachBackend, thrownBy } from "./backends.ts";

onEachBackend(() => {
  test("Future.from completes with the promise's value", () => {
    expect(waitFor(Future.from(Promise.resolve(42)))).toBe(42);
  });

  test("Future.from fails with the very Error that the promise rejects with", () => {
    const error = new Error("rejected");
    expect(thrownBy(() => waitFor(Future.from(Promise.reject(error))))).toBe(error);
  });

  test("Future.from wraps a rejection that is not an Error, as its cause", () => {
    const error = thrownBy(() => waitFor(Future.from(Promise.reject("text")))) as Error;
    expect(error).toBeInstanceOf(Error);
    expect({ message: error.message, cause: error.cause }).toEqual({ message: "text", cause: "text" });
  });

  test("Future.from of what is no promise raises a TypeError", () => {
    expectThrow(() => Future.from(42 as never), TypeError, "Expected a promise, got number");
  });

  test("then gets the value, and its promise has what it returns", () => {
    const future = newFuture<number>();
    callSoon(() => future.complete(20));
    expect(waitFor(future.then((value) => value + 1))).toBe(21);
  });

  test("then gets the error of a failed future", () => {
    const error = new Error("failed");
    const future = newFuture();
    callSoon(() => future.fail(error));
    expect(waitFor(future.then(null, (reason) => reason) as Promise<unknown>)).toBe(error);
  });

  test("then of a finished future needs no poll", () => {
    const future = newFuture<number>();
    future.complete(1);
    expect(waitFor(future.then((value) => value))).toBe(1);
  });

  test("then without handlers passes the error on", () => {
    const error = new Error("failed");
    const future = newFuture();
    future.fail(error);
    expect(thrownBy(() => waitFor(future.then()))).toBe(error);
  });

  test("catch gets the error, and passes a value on", () => {
    const error = new Error("failed");
    const failed = newFuture<string>();
    failed.fail(error);
    expect(waitFor(failed.catch((reason) => reason) as Promise<unknown>)).toBe(error);
    const completed = newFuture<string>();
    completed.complete("value");
    expect(waitFor(completed.catch(() => "caught"))).toBe("value");
  });

  test("finally is called after a value and after an error, and passes both on", () => {
    let calls = 0;
    const completed = newFuture<string>();
    completed.complete("value");
    expect(waitFor(completed.finally(() => void calls++))).toBe("value");
    const error = new Error("failed");
    const failed = newFuture();
    failed.fail(error);
    expect(thrownBy(() => waitFor(failed.finally(() => void calls++)))).toBe(error);
    expect(calls).toBe(2);
  });

  test("await in a native async function gives the value and raises the error", () => {
    const native = async (): Promise<unknown[]> => {
      const value = newFuture<string>();
      const error = newFuture();
      callSoon(() => value.complete("value"));
      callSoon(() => error.fail(new Error("failed")));
      return [await value, await error.catch((reason) => reason.message)];
    };
    expect(waitFor(native())).toEqual(["value", "failed"]);
  });

  test("Promise.all waits for futures", () => {
    const futures = [sleepAsync(2), sleepAsync(1)];
    waitFor(Promise.all(futures));
    expect(futures.every((future) => future.finished)).toBe(true);
  });

  test("iterating over a pending future raises a ValueError instead of looping, so `[...future]` does", () => {
    let rounds = 0;
    const iterate = (): void => {
      for (const _ of newFuture() as unknown as Iterable<unknown>) if (++rounds === 3) return;
    };
    expectThrow(iterate, ValueError, "Future still in progress.");
    expect(rounds).toBe(1);
  });

  test("asyncCheck has the error thrown out of poll", () => {
    const error = new Error("failed");
    const future = newFuture();
    asyncCheck(future);
    callSoon(() => future.fail(error));
    expect(thrownBy(() => poll())).toBe(error);
  });

  test("asyncCheck of a future that failed before has the error thrown out of the next poll", () => {
    const error = new Error("failed");
    const future = newFuture();
    future.fail(error);
    asyncCheck(future);
    expect(thrownBy(() => poll())).toBe(error);
  });

  test("asyncCheck of a future that completes throws nothing", () => {
    const future = newFuture<number>();
    asyncCheck(future);
    future.complete(1);
    poll();
  });

  test("Q4: asyncCheck leaves the future's other callbacks in place", () => {
    const future = newFuture();
    const log: string[] = [];
    future.addCallback(() => log.push("before"));
    asyncCheck(future);
    future.addCallback(() => log.push("after"));
    future.complete();
    poll();
    expect(log).toEqual(["before", "after"]);
  });

  test.each([null, undefined])("asyncCheck(%p) raises an AssertionDefect", (nothing) => {
    expectThrow(() => asyncCheck(nothing as never), AssertionDefect, "Future is nil");
  });

  test("asyncCheck of what is no future raises a TypeError", () => {
    expectThrow(() => asyncCheck(42 as never), TypeError, "Expected a Future, got number");
  });

  test("a failed future that nobody looks at throws nothing", () => {
    newFuture().fail(new Error("unobserved"));
    drain(5);
  });
});
