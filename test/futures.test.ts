import { expect, test } from "bun:test";
import {
  async,
  asyncCheck,
  drain,
  type Future,
  type FutureBase,
  FutureError,
  getGlobalDispatcher,
  getIoHandler,
  newFuture,
  poll,
  SockAddr,
  ValueError,
  waitFor,
} from "../src/index.ts";
import { expectThrow, onEachBackend, thrownBy } from "./backends.ts";

/** A future that has failed with `error`. */
function failedWith(error: Error): Future<never> {
  const future = newFuture<never>("failed");
  future.fail(error);
  return future;
}

onEachBackend(() => {
  test("a new future is pending", () => {
    const { finished, failed, error, errorStackTrace } = newFuture();
    expect({ finished, failed, error, errorStackTrace }).toEqual({
      finished: false,
      failed: false,
      error: null,
      errorStackTrace: "",
    });
  });

  test("a future tells who made it", () => {
    expect(newFuture("proc").fromProc).toBe("proc");
    expect(newFuture().fromProc).toBe("unspecified");
  });

  test("console.log shows a future, a dispatcher and an address in a line", () => {
    const completed = newFuture("proc");
    completed.complete();
    const lines = [newFuture("proc"), completed, failedWith(new Error("reason"))].map((future) => Bun.inspect(future));
    expect(lines).toEqual([
      "Future<proc> { pending }",
      "Future<proc> { completed }",
      "Future<failed> { failed: Error: reason }",
    ]);
    const kind = getIoHandler(getGlobalDispatcher()).kind;
    expect(Bun.inspect(getGlobalDispatcher())).toBe(`Dispatcher<${kind}> { 0 active descriptors, 0 timers }`);
    expect(Bun.inspect(SockAddr.of("::1", 80))).toBe('SockAddr { "::1", port 80 }');
  });

  test("each future has a number of its own", () => {
    const ids = Array.from({ length: 100 }, () => newFuture().id);
    expect(new Set(ids).size).toBe(100);
  });

  test("complete gives the future its value", () => {
    const future = newFuture<string>();
    future.complete("value");
    expect(future.read()).toBe("value");
    expect({ finished: future.finished, failed: future.failed, error: future.error }).toEqual({
      finished: true,
      failed: false,
      error: null,
    });
  });

  test("fail gives the future its error, whose stack is errorStackTrace", () => {
    const error = new Error("reason");
    const future = failedWith(error);
    expect({ finished: future.finished, failed: future.failed }).toEqual({ finished: true, failed: true });
    expect(future.error).toBe(error);
    expect(future.errorStackTrace).toBe(error.stack as string);
  });

  test.each(["text", null, undefined])("fail with %p, which is no Error, raises a TypeError", (value) => {
    const future = newFuture();
    expect(thrownBy(() => future.fail(value as never))).toBeInstanceOf(TypeError);
    expect(future.finished).toBe(false);
  });

  test("fail with a string says what it expected", () => {
    expectThrow(() => newFuture().fail("text" as never), TypeError, "A future fails with an Error, not with string");
  });

  test("read of a pending future raises a ValueError", () => {
    expectThrow(() => newFuture().read(), ValueError, "Future still in progress.");
  });

  test("Q21: read of a failed future raises the very error, with its message untouched", () => {
    const error = new Error("reason");
    const future = failedWith(error);
    expect(thrownBy(() => future.read())).toBe(error);
    expect(thrownBy(() => future.read())).toBe(error);
    expect(error.message).toBe("reason");
  });

  test("Q21: an error that went through await, asyncCheck and waitFor keeps its message", () => {
    const error = new Error("reason");
    const future = newFuture();
    const awaiting = async(function* () {
      yield* future;
    })();
    asyncCheck(awaiting);
    future.fail(error);
    expect(thrownBy(() => poll())).toBe(error);
    expect(thrownBy(() => waitFor(awaiting))).toBe(error);
    expect(error.message).toBe("reason");
  });

  test("readError gives the error of a failed future", () => {
    const error = new Error("reason");
    expect(failedWith(error).readError()).toBe(error);
  });

  test("readError of a pending and of a completed future raises a ValueError", () => {
    const future = newFuture();
    expectThrow(() => future.readError(), ValueError, "No error in future.");
    future.complete();
    expectThrow(() => future.readError(), ValueError, "No error in future.");
  });

  test.each(["complete, complete", "complete, fail", "fail, complete", "fail, fail"])(
    "finishing twice (%s) raises a FutureError with the future as its cause",
    (steps) => {
      const future = newFuture("maker");
      const finish = (step: string): void => (step === "complete" ? future.complete() : future.fail(new Error(step)));
      const [first, second] = steps.split(", ") as [string, string];
      finish(first);
      const error = thrownBy(() => finish(second)) as FutureError;
      expect(error).toBeInstanceOf(FutureError);
      expect(error.name).toBe("FutureError");
      expect(error.cause).toBe(future as FutureBase);
      expect(error.message).toStartWith(
        [
          "An attempt was made to complete a Future more than once. Details:",
          `  Future ID: ${future.id}`,
          "  Created in proc: maker",
          "  Stack trace to moment of creation:",
          "    ",
        ].join("\n"),
      );
      expect(error.message).toContain("\n  Stack trace to moment of secondary completion:\n    ");
    },
  );

  test("the FutureError of a string future shows the string", () => {
    const future = newFuture<string>();
    future.complete("the text");
    const error = thrownBy(() => future.complete("another")) as FutureError;
    expect(error.message).toContain(
      "\n  Contents (string): \n    the text\n  Stack trace to moment of secondary completion:\n",
    );
  });

  test("a future that was finished twice keeps its first outcome, and its callbacks ran once", () => {
    const future = newFuture<number>();
    let calls = 0;
    future.addCallback(() => calls++);
    future.complete(1);
    thrownBy(() => future.complete(2));
    thrownBy(() => future.fail(new Error("late")));
    poll();
    expect({ value: future.read(), calls }).toEqual({ value: 1, calls: 1 });
  });

  test("toString tells the state and the maker", () => {
    const pending = newFuture("maker");
    const completed = newFuture("maker");
    completed.complete();
    expect(`${pending}`).toBe(`Future ${pending.id} (pending, from maker)`);
    expect(`${completed}`).toBe(`Future ${completed.id} (completed, from maker)`);
    const failed = failedWith(new Error("x"));
    expect(`${failed}`).toBe(`Future ${failed.id} (failed, from failed)`);
  });

  test("callbacks run in the order in which they were added", () => {
    const future = newFuture();
    const log: number[] = [];
    for (let i = 0; i < 5; i++) future.addCallback(() => log.push(i));
    future.complete();
    poll();
    expect(log).toEqual([0, 1, 2, 3, 4]);
  });

  test("a callback gets the future", () => {
    const future = newFuture();
    let given: unknown;
    future.addCallback((finished) => {
      given = finished;
    });
    future.complete();
    poll();
    expect(given).toBe(future);
  });

  test("complete does not run callbacks inline", () => {
    const future = newFuture();
    let called = false;
    future.addCallback(() => {
      called = true;
    });
    future.complete();
    expect(called).toBe(false);
    poll();
    expect(called).toBe(true);
  });

  test("addCallback on a finished future does not run the callback inline", () => {
    const future = newFuture();
    future.complete();
    let called = false;
    future.addCallback(() => {
      called = true;
    });
    expect(called).toBe(false);
    poll();
    expect(called).toBe(true);
  });

  test("a callback that throws leaves poll, and the others run in the next one", () => {
    const future = newFuture();
    let called = false;
    future.addCallback(() => {
      throw new Error("thrown by a callback");
    });
    future.addCallback(() => {
      called = true;
    });
    future.complete();
    expectThrow(() => poll(), Error, "thrown by a callback");
    poll();
    expect(called).toBe(true);
  });

  test("addCallback without a callback raises a TypeError", () => {
    expectThrow(() => newFuture().addCallback(null as never), TypeError, "Expected a callback, got null");
  });

  test.each([0, 1, 2])("removeCallback takes back the callback at position %p of three", (position) => {
    const future = newFuture();
    const log: number[] = [];
    const callbacks = [0, 1, 2].map((i) => () => void log.push(i));
    for (const callback of callbacks) future.addCallback(callback);
    future.removeCallback(callbacks[position] as () => void);
    future.complete();
    poll();
    expect(log).toEqual([0, 1, 2].filter((i) => i !== position));
  });

  test("removeCallback takes back the only callback", () => {
    const future = newFuture();
    const callback = (): never => {
      throw new Error("was called");
    };
    future.addCallback(callback);
    future.removeCallback(callback);
    future.complete();
    drain(0);
  });

  test("removeCallback takes back one of two registrations of a callback", () => {
    const future = newFuture();
    let calls = 0;
    const callback = (): number => calls++;
    future.addCallback(callback);
    future.addCallback(callback);
    future.removeCallback(callback);
    future.complete();
    poll();
    expect(calls).toBe(1);
  });

  test("removeCallback of a callback that is queued already, or was never added, does nothing", () => {
    const future = newFuture();
    let calls = 0;
    const callback = (): number => calls++;
    future.removeCallback(callback);
    future.addCallback(callback);
    future.complete();
    future.removeCallback(callback);
    poll();
    expect(calls).toBe(1);
  });

  test("clearCallbacks removes every callback", () => {
    const future = newFuture();
    let calls = 0;
    for (let i = 0; i < 3; i++) future.addCallback(() => calls++);
    future.clearCallbacks();
    future.complete();
    drain(0);
    expect(calls).toBe(0);
  });

  test("Q4: setting callback clears the other callbacks", () => {
    const future = newFuture();
    const log: string[] = [];
    future.addCallback(() => log.push("added"));
    future.callback = () => log.push("set");
    future.addCallback(() => log.push("added later"));
    future.complete();
    poll();
    expect(log).toEqual(["set", "added later"]);
  });
});

test("Q26: without the dispatcher's module, callbacks are queued as microtasks", () => {
  const script = `
    import { newFuture } from "../src/asyncfutures.ts";
    const future = newFuture();
    future.addCallback(() => console.log("callback"));
    future.complete();
    console.log("completed");
    await null;
    console.log("after a microtask");`;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", script], { cwd: import.meta.dir, stderr: "inherit" });
  expect(stdout.toString().trim().split("\n")).toEqual(["completed", "callback", "after a microtask"]);
});
