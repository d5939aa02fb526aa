import { describe, expect, test } from "bun:test";
import { runScript } from "./children.ts";

const PRINT = `
  import { asyncBackend } from "./src/backend.ts";
  console.log(asyncBackend);`;

const CALL = `
  import { awaited, multisync, newFuture, callSoon } from "./src/index.ts";
  const double = multisync(function* double(n) {
    return 2 * (yield* awaited(n));
  });`;

function defining(backend: string): string[] {
  return ["--define", `asyncBackend=${JSON.stringify(backend)}`];
}

describe("asyncBackend", () => {
  test("it is asyncdispatch when nobody chooses", () => {
    expect(runScript(PRINT, [], { ASYNC_BACKEND: "" }).stdout).toBe("asyncdispatch");
  });

  test.each(["none", "asyncdispatch", "bun"])("ASYNC_BACKEND=%s chooses it", (backend) => {
    expect(runScript(PRINT, [], { ASYNC_BACKEND: backend }).stdout).toBe(backend);
  });

  test.each(["none", "asyncdispatch", "bun"])(
    "the define asyncBackend chooses %s, whatever ASYNC_BACKEND says",
    (backend) => {
      expect(runScript(PRINT, defining(backend), { ASYNC_BACKEND: "unknown" }).stdout).toBe(backend);
    },
  );

  test("an unknown name in ASYNC_BACKEND is an error that lists the known ones", () => {
    const { stderr, exitCode } = runScript(PRINT, [], { ASYNC_BACKEND: "chronos" });
    expect(stderr).toContain('ValueError: Unknown asyncBackend "chronos", expected one of: none, asyncdispatch, bun');
    expect(exitCode).not.toBe(0);
  });

  test("an unknown name in the define is an error that lists the known ones", () => {
    const { stderr, exitCode } = runScript(PRINT, defining("chronos"));
    expect(stderr).toContain('ValueError: Unknown asyncBackend "chronos", expected one of: none, asyncdispatch, bun');
    expect(exitCode).not.toBe(0);
  });
});

describe("multisync", () => {
  test('with "none" the async form throws an error that says why, and the sync form works', () => {
    const script = `${CALL}
      console.log(double.sync(21));
      try { double.async(21); } catch (error) { console.log(error.name, error.message); }`;
    expect(runScript(script, defining("none")).stdout.split("\n")).toEqual([
      "42",
      'ValueError Procedure (double) has no asynchronous form: asyncBackend is "none"',
    ]);
  });

  test('with "asyncdispatch" the async form gives a future', () => {
    const script = `${CALL}
      console.log(double.async(21).read());`;
    expect(runScript(script, defining("asyncdispatch")).stdout).toBe("42");
  });

  test('with "bun" the async form gives a native promise, which needs no loop', () => {
    const script = `${CALL}
      const promise = double.async(new Promise((resolve) => setTimeout(resolve, 0, 21)));
      console.log(promise instanceof Promise, await promise);`;
    expect(runScript(script, defining("bun")).stdout).toBe("true 42");
  });

  test('with "bun" a body raises the reason of a promise and can catch it', () => {
    const script = `
      import { multisync } from "./src/index.ts";
      const careful = multisync(function* () {
        try { yield Promise.reject(new Error("reason")); } catch (error) { return error.message; }
      });
      console.log(await careful.async());`;
    expect(runScript(script, defining("bun")).stdout).toBe("reason");
  });

  test('with "bun" what fails before the body begins rejects the promise', () => {
    const script = `
      import { multisync } from "./src/index.ts";
      const broken = multisync(function* (n = missing) { return n; });
      broken.async().catch((error) => console.log(error.name));`;
    expect(runScript(script, defining("bun")).stdout).toBe("ReferenceError");
  });

  test('with "bun" yield* of a future of this package gives its value', () => {
    const script = `${CALL}
      import { waitFor } from "./src/index.ts";
      const future = newFuture();
      callSoon(() => future.complete(21));
      console.log(waitFor(double.async(future)));`;
    expect(runScript(script, defining("bun")).stdout).toBe("42");
  });
});

describe("the package", () => {
  test.each([
    ["asyncdispatch", "multisync awaited newFutureStream newFutureVar readAll asyncBackend getFuturesInProgress"],
    [
      "asyncdispatch/asyncfutures",
      "newFuture newFutureVar getCallSoonProc setCallSoonProc getFuturesInProgress sleepAsync withTimeout",
    ],
    ["asyncdispatch/asyncmacro", "async multisync awaited"],
    ["asyncdispatch/asyncstreams", "FutureStream newFutureStream readAll"],
    ["asyncdispatch/backend", "asyncBackend"],
    ["asyncdispatch/prometheus", "registerMetrics"],
  ])("%s exports %s", (module, names) => {
    const script = `import * as module from "${module}"; console.log(Object.keys(module).join("\\n"));`;
    expect(runScript(script).stdout.split("\n")).toEqual(expect.arrayContaining(names.split(" ")));
  });
});
