import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import {
  type AsyncFD,
  accept,
  acceptAddr,
  async,
  type FutureError,
  getFuturesInProgress,
  getGlobalDispatcher,
  isFutureLoggingEnabled,
  newFuture,
  newFutureVar,
  recv,
  recvFrom,
  recvFromInto,
  recvInto,
  register,
  SockAddr,
  setFutureLogging,
  sleepAsync,
  waitFor,
  waitProcess,
  withTimeout,
} from "../src/index.ts";
import { onEachBackend, openFifo, thrownBy } from "./backends.ts";
import { runScript } from "./children.ts";

/** How many futures are pending, by who made them. */
function inProgress(): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [{ fromProc }, count] of getFuturesInProgress()) counts[fromProc] = (counts[fromProc] ?? 0) + count;
  return counts;
}

const PRINT = `
  import { getFuturesInProgress, isFutureLoggingEnabled, newFuture } from "./src/index.ts";
  newFuture("maker");
  console.log(isFutureLoggingEnabled, JSON.stringify(Array.from(getFuturesInProgress(), ([{ fromProc }, n]) => [fromProc, n])));`;

describe("turning it on", () => {
  test("it is off when nobody asks, and nothing is counted", () => {
    expect(runScript(PRINT, [], { FUTURE_LOGGING: "" }).stdout).toBe("false []");
  });

  test("FUTURE_LOGGING=1 turns it on", () => {
    expect(runScript(PRINT, [], { FUTURE_LOGGING: "1" }).stdout).toBe('true [["maker",1]]');
  });

  test("the define futureLogging=true turns it on", () => {
    expect(runScript(PRINT, ["--define", "futureLogging=true"]).stdout).toBe('true [["maker",1]]');
  });

  test("the define futureLogging=false keeps it off, whatever FUTURE_LOGGING says", () => {
    expect(runScript(PRINT, ["--define", "futureLogging=false"], { FUTURE_LOGGING: "1" }).stdout).toBe("false []");
  });

  test("setFutureLogging turns it on and off, and off forgets everything", () => {
    setFutureLogging(true);
    newFuture("maker");
    expect([isFutureLoggingEnabled, getFuturesInProgress().size]).toEqual([true, 1]);
    setFutureLogging(false);
    newFuture("maker");
    expect([isFutureLoggingEnabled, getFuturesInProgress().size]).toEqual([false, 0]);
  });
});

onEachBackend(() => {
  beforeEach(() => setFutureLogging(true));
  afterEach(() => setFutureLogging(false));

  test("pending futures are counted by where they were created", () => {
    const first = [1, 2, 3].map(() => newFuture("maker"));
    newFuture("maker");
    expect(Array.from(getFuturesInProgress().values())).toEqual([3, 1]);
    first[0]?.complete();
    expect(Array.from(getFuturesInProgress().values())).toEqual([2, 1]);
  });

  test("one place that makes futures of two names is two entries", () => {
    for (const name of ["a", "b"]) newFuture(name);
    expect(inProgress()).toEqual({ a: 1, b: 1 });
  });

  test("the stack of an entry begins where the future was asked for, outside the package", () => {
    newFuture("maker");
    const [info] = getFuturesInProgress().keys();
    expect(info?.stackTrace.split("\n")[0]).toContain("logging.test.ts");
    expect(info?.stackTrace).not.toContain("asyncfutures.ts");
  });

  test("Q20: an entry whose futures are finished is gone", () => {
    const future = newFuture("maker");
    const failing = newFuture("failing");
    future.complete();
    failing.fail(new Error("reason"));
    expect([failing.failed, getFuturesInProgress().size]).toEqual([true, 0]);
  });

  test("Q20: a FutureVar is counted once, and again after clean", () => {
    const variable = newFutureVar<number>("variable");
    expect(inProgress()).toEqual({ variable: 1 });
    variable.complete(1);
    expect(inProgress()).toEqual({});
    variable.clean();
    expect(inProgress()).toEqual({ variable: 1 });
    variable.complete(2);
    expect(inProgress()).toEqual({});
  });

  test("a FutureVar that is clean again is counted with the others of its place", () => {
    const [first, second] = [1, 2].map(() => {
      const variable = newFutureVar<number>("variable");
      variable.complete(1);
      return variable;
    });
    second?.clean();
    first?.clean();
    expect(inProgress()).toEqual({ variable: 2 });
  });

  test("finishing twice counts once", () => {
    const [first] = [1, 2].map(() => newFuture("maker"));
    first?.complete();
    thrownBy(() => first?.complete());
    expect(inProgress()).toEqual({ maker: 1 });
  });

  test("procedures and operations are counted until they are finished", () => {
    const sleepy = async(function* sleepy() {
      yield* sleepAsync(0);
    });
    const sleeping = sleepy();
    expect(inProgress()).toEqual({ sleepy: 1, sleepAsync: 1 });
    waitFor(sleeping);
    expect(inProgress()).toEqual({});
  });

  test("a cancelled operation is not in progress", () => {
    sleepAsync(60_000).cancel();
    expect(inProgress()).toEqual({});
  });

  test("operations that do not begin are not counted", () => {
    const unregistered = openFifo();
    const finished = newFuture<void>();
    finished.complete();
    const file = openSync(import.meta.path, "r") as AsyncFD;
    for (const call of [
      () => waitProcess(2 ** 31 - 1),
      () => accept(unregistered),
      () => acceptAddr(unregistered),
      () => recvFrom(unregistered, 1),
      () => recvFromInto(unregistered, Buffer.alloc(1), 1, new SockAddr()),
      () => withTimeout(finished, "5" as never),
      () => {
        register(file);
        recv(file, 1);
      },
      () => recvInto(file, Buffer.alloc(1)),
    ]) {
      expect(thrownBy(call)).toBeInstanceOf(Error);
    }
    closeSync(file);
    expect(inProgress()).toEqual({});
  });

  test.each([
    ["a sleep", () => sleepAsync(1)],
    ["a wait for a process", () => waitProcess(process.pid)],
  ])("%s that a closing dispatcher refuses is not counted", (_what, begin) => {
    const dispatcher = getGlobalDispatcher();
    let refusal: unknown;
    sleepAsync(60_000).addCallback(() => {
      refusal = thrownBy(begin);
    });
    dispatcher.close();
    expect(refusal).toBeInstanceOf(Error);
    expect(inProgress()).toEqual({});
  });

  test("what is given is a copy", () => {
    newFuture("maker");
    getFuturesInProgress().clear();
    expect(getFuturesInProgress().size).toBe(1);
  });

  test("futures from before it was turned on are unknown", () => {
    setFutureLogging(false);
    const future = newFuture("maker");
    setFutureLogging(true);
    future.complete();
    expect(getFuturesInProgress().size).toBe(0);
  });

  test("a FutureError shows where the future was created", () => {
    const future = newFuture("maker");
    future.complete();
    const { message } = thrownBy(() => future.complete()) as FutureError;
    const [, creation = ""] =
      /moment of creation:\n([\s\S]*)\n {2}Stack trace to moment of secondary/.exec(message) ?? [];
    expect(creation).toMatch(/^ {8}at .*logging\.test\.ts/);
  });
});

test("without it, a FutureError says that the creation was not recorded", () => {
  const future = newFuture("maker");
  future.complete();
  const { message } = thrownBy(() => future.complete()) as FutureError;
  expect(message).toContain("  Stack trace to moment of creation:\n    not recorded\n");
});
