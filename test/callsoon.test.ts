import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  async,
  type CallSoonProc,
  getCallSoonProc,
  newFuture,
  poll,
  setCallSoonProc,
  sleepAsync,
  waitFor,
} from "../src/index.ts";
import { expectThrow, onEachBackend } from "./backends.ts";
import { runScript } from "./children.ts";

onEachBackend(() => {
  let standard: CallSoonProc;
  beforeEach(() => {
    standard = getCallSoonProc() as CallSoonProc;
  });
  afterEach(() => setCallSoonProc(standard));

  test("what getCallSoonProc gives queues a callback in the dispatcher", () => {
    const log: string[] = [];
    standard(() => log.push("called"));
    expect(log).toEqual([]);
    poll();
    expect(log).toEqual(["called"]);
  });

  test("setCallSoonProc gets every callback, as a function without arguments", () => {
    const queue: (() => void)[] = [];
    setCallSoonProc((callback) => queue.push(callback));
    const future = newFuture<string>();
    const log: string[] = [];
    future.addCallback((finished) => log.push(finished.read()));
    const awaiting = async(function* () {
      log.push(`awaited ${yield* future}`);
    })();
    future.complete("value");
    expect(log).toEqual([]);
    expect(queue.map(({ length }) => length)).toEqual([0, 0]);
    for (const callback of queue) callback();
    expect(log).toEqual(["value", "awaited value"]);
    expect(awaiting.finished).toBe(true);
  });

  test("getCallSoonProc gives what was set, and setting the old one restores it", () => {
    const proc: CallSoonProc = (callback) => queueMicrotask(callback);
    setCallSoonProc(proc);
    expect(getCallSoonProc()).toBe(proc);
    setCallSoonProc(standard);
    const sleeping = async(function* () {
      yield* sleepAsync(0);
      return "woken";
    });
    expect(waitFor(sleeping())).toBe("woken");
  });

  test("setCallSoonProc of what is no function raises a TypeError", () => {
    expectThrow(() => setCallSoonProc(null as never), TypeError, "Expected a function, got null");
  });
});

test("getCallSoonProc is null until the first dispatcher of the thread is the global one", () => {
  const { stdout } = runScript(`
    import { getCallSoonProc, getGlobalDispatcher, newDispatcher } from "./src/index.ts";
    console.log(getCallSoonProc());
    newDispatcher().close();
    console.log(getCallSoonProc());
    getGlobalDispatcher();
    console.log(typeof getCallSoonProc());`);
  expect(stdout.split("\n")).toEqual(["null", "null", "function"]);
});

test("a proc that was set before the first dispatcher stays", () => {
  const { stdout } = runScript(`
    import { setCallSoonProc } from "./src/asyncfutures.ts";
    setCallSoonProc((callback) => { console.log("queued"); queueMicrotask(callback); });
    const { getGlobalDispatcher, newFuture } = await import("./src/index.ts");
    getGlobalDispatcher();
    const future = newFuture();
    future.addCallback(() => console.log("called"));
    future.complete();`);
  expect(stdout.split("\n")).toEqual(["queued", "called"]);
});
