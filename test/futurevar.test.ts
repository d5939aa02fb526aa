import { expect, test } from "bun:test";
import { async, type FutureError, FutureVar, newFutureVar, sleepAsync, ValueError, waitFor } from "../src/index.ts";
import { expectThrow, onEachBackend, thrownBy } from "./backends.ts";

/** Runs the callbacks that are queued. */
function runCallbacks(): void {
  waitFor(sleepAsync(0));
}

onEachBackend(() => {
  test("complete with a value gives it that value", () => {
    const variable = newFutureVar<string>("maker");
    variable.complete("value");
    expect({ finished: variable.finished, value: variable.read() }).toEqual({ finished: true, value: "value" });
    expect(variable.fromProc).toBe("maker");
  });

  test("complete without a value keeps the value that was set", () => {
    const variable = newFutureVar<string[]>();
    variable.value = ["a"];
    variable.mget().push("b");
    variable.complete();
    expect(variable.read()).toEqual(["a", "b"]);
  });

  test("complete with undefined gives it that value", () => {
    const variable = newFutureVar<string | undefined>();
    variable.value = "old";
    variable.complete(undefined);
    expect(variable.read()).toBeUndefined();
  });

  test("the value can be looked at while pending, read cannot", () => {
    const variable = newFutureVar<number>();
    expect(variable.value).toBeUndefined();
    variable.value = 1;
    expect([variable.value, variable.mget()]).toEqual([1, 1]);
    expectThrow(() => variable.read(), ValueError, "Future still in progress.");
  });

  test("a failed one raises its very error, and mget still gives the value", () => {
    const variable = newFutureVar<number>();
    const error = new Error("reason");
    variable.value = 1;
    variable.fail(error);
    expect(thrownBy(() => variable.read())).toBe(error);
    expect(variable.mget()).toBe(1);
  });

  test("complete runs the callbacks, not inline", () => {
    const variable = newFutureVar<number>();
    const log: number[] = [];
    variable.addCallback(({ value }) => log.push(value));
    variable.complete(1);
    expect(log).toEqual([]);
    runCallbacks();
    expect(log).toEqual([1]);
  });

  test("completing it twice raises a FutureError that shows a string, and keeps the value", () => {
    const variable = newFutureVar<string>("maker");
    variable.complete("first");
    const error = thrownBy(() => variable.complete("second")) as FutureError;
    expect(error.name).toBe("FutureError");
    expect(error.cause).toBe(variable as never);
    expect(error.message).toContain("\n  Contents (string): \n    first\n");
    expect(variable.read()).toBe("first");
  });

  test("clean makes it pending again with its value, and it can be completed again", () => {
    const variable = newFutureVar<number>();
    variable.complete(1);
    variable.clean();
    expect({ finished: variable.finished, value: variable.value }).toEqual({ finished: false, value: 1 });
    variable.complete(2);
    expect(variable.read()).toBe(2);
  });

  test("clean takes the error away", () => {
    const variable = newFutureVar<number>();
    variable.fail(new Error("reason"));
    variable.clean();
    expect({ finished: variable.finished, failed: variable.failed, error: variable.error }).toEqual({
      finished: false,
      failed: false,
      error: null,
    });
  });

  test("clean leaves the callbacks of a pending one alone", () => {
    const variable = newFutureVar<number>();
    let calls = 0;
    variable.addCallback(() => calls++);
    variable.clean();
    variable.complete(1);
    runCallbacks();
    expect(calls).toBe(1);
  });

  test("it is neither thenable nor iterable", () => {
    const variable: object = new FutureVar<number>("maker");
    expect("then" in variable).toBe(false);
    expect(Symbol.iterator in variable).toBe(false);
  });

  test("a procedure completes the pending ones among its arguments when it returns", () => {
    const fill = async(function* (first: FutureVar<string>, second: FutureVar<string>) {
      yield* sleepAsync(0);
      first.value = "filled";
      second.complete("done");
    });
    const [first, second] = [newFutureVar<string>(), newFutureVar<string>()];
    const filling = fill(first, second);
    expect(first.finished).toBe(false);
    waitFor(filling);
    expect([first.read(), second.read()]).toEqual(["filled", "done"]);
  });

  test("a procedure that fails completes the pending ones among its arguments", () => {
    const fill = async(function* (variable: FutureVar<string>) {
      yield* sleepAsync(0);
      variable.value = "half";
      throw new Error("reason");
    });
    const variable = newFutureVar<string>();
    expectThrow(() => waitFor(fill(variable)), Error, "reason");
    expect(variable.read()).toBe("half");
  });

  test("a procedure whose call throws completes the pending ones among its arguments", () => {
    const fail = (): never => {
      throw new Error("reason");
    };
    const procedures = [
      async(function* (_: FutureVar<string>, __: unknown = fail()) {}),
      async(fail as unknown as (_: FutureVar<string>) => Promise<void>),
    ];
    for (const procedure of procedures) {
      const variable = newFutureVar<string>();
      expectThrow(() => waitFor(procedure(variable)), Error, "reason");
      expect(variable.finished).toBe(true);
    }
  });

  test.each([
    ["a function", () => 5],
    ["an asynchronous generator function", async function* () {}],
  ])("%s is no procedure, with one among its arguments either, which is complete then", (_what, proc) => {
    const variable = newFutureVar<string>();
    const procedure = async(proc as unknown as (variable: FutureVar<string>) => Promise<void>);
    expect(thrownBy(() => waitFor(procedure(variable)))).toBeInstanceOf(TypeError);
    expect(variable.finished).toBe(true);
  });

  test("a native procedure completes the pending ones among its arguments", () => {
    const fill = async(async (variable: FutureVar<string>) => {
      await sleepAsync(0);
      variable.value = "filled";
    });
    const variable = newFutureVar<string>();
    waitFor(fill(variable));
    expect(variable.read()).toBe("filled");
  });
});
