import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  AssertionDefect,
  activeDescriptors,
  addRead,
  addWrite,
  asyncCheck,
  CALLBACK_BUDGET,
  callSoon,
  drain,
  Future,
  getGlobalDispatcher,
  hasPendingOperations,
  MAX_NESTED_POLLS,
  maxDescriptors,
  newDispatcher,
  newFuture,
  poll,
  register,
  runForever,
  setGlobalDispatcher,
  sleepAsync,
  ValueError,
  waitFor,
} from "../src/index.ts";
import { simulate } from "../src/testing.ts";
import {
  emptyFifo,
  expectThrow,
  isWindows,
  millisecondsOf,
  onEachBackend,
  openFifo,
  readableFifo,
  thrownBy,
} from "./backends.ts";

const NOTHING_PENDING = "No handles or timers registered in dispatcher.";

/** Keeps this thread busy, as a program does whose timers expire meanwhile. */
function spin(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

onEachBackend(() => {
  test("R1: one poll runs readiness callbacks, then queued callbacks, then timer continuations", () => {
    const log: string[] = [];
    addRead(readableFifo(), () => {
      log.push("io");
      return true;
    });
    callSoon(() => log.push("soon"));
    sleepAsync(1).addCallback(() => log.push("timer"));
    spin(3);
    poll();
    expect(log).toEqual(["io", "soon", "timer"]);
  });

  test("R6: after a queued callback throws, the rest of the queue runs in the next poll", () => {
    const log: string[] = [];
    const error = new Error("thrown by a queued callback");
    callSoon(() => log.push("first"));
    callSoon(() => {
      throw error;
    });
    callSoon(() => log.push("third"));
    expect(thrownBy(() => poll())).toBe(error);
    expect(log).toEqual(["first"]);
    poll();
    expect(log).toEqual(["first", "third"]);
  });

  test("Q1: a poll that finished an expired timer does not wait", () => {
    const expired = sleepAsync(1);
    spin(3);
    expect(millisecondsOf(() => poll(500))).toBeLessThan(100);
    expect(expired.finished).toBe(true);
  });

  test("R15: waitFor(sleepAsync(0)) takes far less than 50 ms", () => {
    sleepAsync(1000); // ends the wait if it is one
    expect(millisecondsOf(() => waitFor(sleepAsync(0)))).toBeLessThan(25);
  });

  test("R14, Q2: poll(-1) with a timer of 50 ms returns after 50 ms", () => {
    const timer = sleepAsync(50);
    const elapsed = millisecondsOf(() => poll(-1));
    expect(timer.finished).toBe(true);
    expect(elapsed).toBeGreaterThanOrEqual(49);
    expect(elapsed).toBeLessThan(150);
  });

  test("Q2: poll(Infinity) waits for the next timer", () => {
    const timer = sleepAsync(5);
    poll(Infinity);
    expect(timer.finished).toBe(true);
  });

  test("poll(0) does not wait", () => {
    sleepAsync(1000);
    expect(millisecondsOf(() => poll(0))).toBeLessThan(100);
  });

  test("poll(20) waits 20 ms when nothing happens", () => {
    addRead(emptyFifo(), () => true);
    const elapsed = millisecondsOf(() => poll(20));
    expect(elapsed).toBeGreaterThanOrEqual(19);
    expect(elapsed).toBeLessThan(120);
  });

  test("poll(1000) returns as soon as a descriptor is ready", () => {
    addRead(readableFifo(), () => true);
    expect(millisecondsOf(() => poll(1000))).toBeLessThan(200);
  });

  test("Q3: a callback phase runs what was queued, and CALLBACK_BUDGET callbacks more", () => {
    let chained = 0;
    const chain = (): void => {
      chained += 1;
      callSoon(chain);
    };
    let others = 0;
    for (let i = 0; i < 3000; i++) callSoon(() => others++);
    callSoon(chain);
    poll();
    expect({ others, chained }).toEqual({ others: 3000, chained: 1 + CALLBACK_BUDGET });
  });

  test("Q3: callbacks that call callSoon for ever do not starve a timer", () => {
    const chain = (): void => callSoon(chain);
    chain();
    const timer = sleepAsync(1);
    spin(2);
    poll();
    expect(timer.finished).toBe(true);
  });

  test("Q3: callbacks that call callSoon for ever do not starve a descriptor", () => {
    const chain = (): void => callSoon(chain);
    chain();
    poll();
    let served = false;
    addRead(readableFifo(), () => {
      served = true;
      return true;
    });
    poll();
    expect(served).toBe(true);
  });

  test("poll with nothing pending raises a ValueError", () => {
    expectThrow(() => poll(), ValueError, NOTHING_PENDING);
  });

  test("poll with a registered, idle descriptor alone raises the ValueError", () => {
    register(openFifo());
    expectThrow(() => poll(), ValueError, NOTHING_PENDING);
  });

  test("poll(-2) raises an AssertionDefect", () => {
    sleepAsync(0);
    expectThrow(() => poll(-2), AssertionDefect, "Cannot select with a negative value, got: -2");
  });

  test("poll(NaN) raises a ValueError", () => {
    sleepAsync(0);
    expectThrow(() => poll(NaN), ValueError, "A timeout cannot be NaN");
  });

  test('poll("x") raises a TypeError', () => {
    sleepAsync(0);
    expectThrow(() => poll("x" as never), TypeError, "Expected milliseconds, got string");
  });

  test("a nested poll in a readiness callback does not call that callback again", () => {
    let calls = 0;
    addRead(readableFifo(), () => {
      calls += 1;
      callSoon(() => {});
      poll(0);
      return true;
    });
    poll();
    expect(calls).toBe(1);
  });

  test("a nested poll serves the rest of the outer poll's batch, and the outer one does not serve it again", () => {
    const log: string[] = [];
    const fds = [readableFifo(), readableFifo(), readableFifo()];
    for (const fd of fds) {
      addRead(fd, () => {
        log.push("enter");
        if (log.length === 1) poll(0);
        log.push("leave");
        return true;
      });
    }
    poll();
    expect(log).toEqual(["enter", "enter", "leave", "enter", "leave", "leave"]);
    expect(getGlobalDispatcher().statistics().wakeups).toBe(1);
  });

  test("101 nested polls raise an AssertionDefect", () => {
    let polls = 0;
    const nest = (): void => {
      if (polls > MAX_NESTED_POLLS) return;
      callSoon(nest);
      polls += 1;
      poll(0);
    };
    expectThrow(nest, AssertionDefect, `More than ${MAX_NESTED_POLLS} nested polls`);
    expect(polls).toBe(MAX_NESTED_POLLS + 1);
  });

  test("after 101 nested polls, polling goes on", () => {
    let polls = 0;
    const nest = (): void => {
      if (polls++ > MAX_NESTED_POLLS) return;
      callSoon(nest);
      poll(0);
    };
    thrownBy(nest);
    poll(); // calls the `nest` that is still queued
    waitFor(sleepAsync(0));
    expect(polls).toBe(MAX_NESTED_POLLS + 2);
  });

  test("a registered, idle descriptor is no pending operation; a waiter is one", () => {
    const fd = emptyFifo();
    expect(hasPendingOperations()).toBe(false);
    addRead(fd, () => true);
    expect(hasPendingOperations()).toBe(true);
  });

  test("a timer is a pending operation until it fires", () => {
    sleepAsync(0);
    expect(hasPendingOperations()).toBe(true);
    poll();
    expect(hasPendingOperations()).toBe(false);
  });

  test("a queued callback is a pending operation until it has run", () => {
    callSoon(() => {});
    expect(hasPendingOperations()).toBe(true);
    poll();
    expect(hasPendingOperations()).toBe(false);
  });

  test("activeDescriptors counts the descriptors that have waiters", () => {
    register(openFifo());
    const fd = readableFifo();
    addRead(fd, () => true);
    addRead(fd, () => true);
    addWrite(fd, () => true);
    addRead(emptyFifo(), () => true);
    expect(activeDescriptors()).toBe(2);
    poll();
    expect(activeDescriptors()).toBe(1);
  });

  test("nextDeadline is null without timers, the time to the earliest one, and 0 when that is due", () => {
    const dispatcher = getGlobalDispatcher();
    expect(dispatcher.nextDeadline()).toBeNull();
    sleepAsync(60_000);
    sleepAsync(20);
    expect(dispatcher.nextDeadline()).toBeGreaterThan(0);
    expect(dispatcher.nextDeadline()).toBeLessThanOrEqual(20);
    spin(21);
    expect(dispatcher.nextDeadline()).toBe(0);
  });

  test("statistics counts polls, wakeups, events, timers, callbacks and changes of interest", () => {
    const fd = readableFifo();
    addRead(fd, () => true);
    sleepAsync(60_000);
    sleepAsync(-1).addCallback(() => {});
    callSoon(() => {});
    const before = getGlobalDispatcher().statistics();
    poll();
    const after = getGlobalDispatcher().statistics();
    expect(before).toEqual({
      polls: 0,
      wakeups: 0,
      events: 0,
      timers: 0,
      callbacks: 0,
      interestChanges: 1,
      waiters: 1,
      pendingTimers: 2,
      descriptors: 1,
    });
    expect(after).toEqual({
      polls: 1,
      wakeups: 1,
      events: 1,
      timers: 1,
      callbacks: 2,
      interestChanges: 1,
      waiters: 0,
      pendingTimers: 1,
      descriptors: 1,
    });
  });

  test("what promise reactions begin before a poll of another dispatcher is the global one's", () => {
    const begin = async (): Promise<void> => {
      await null;
      await sleepAsync(60_000);
    };
    begin().catch(() => {});
    using other = newDispatcher();
    other.callSoon(() => {});
    other.poll(0);
    expect(other.hasPendingOperations()).toBe(false);
    expect(hasPendingOperations()).toBe(true);
  });

  test("drain returns when a promise reaction ends the last operation", () => {
    using other = newDispatcher();
    setGlobalDispatcher(other);
    const sleep = sleepAsync(60_000);
    setGlobalDispatcher(null);
    queueMicrotask(() => sleep.cancel());
    other.drain(1000);
    expect(other.hasPendingOperations()).toBe(false);
  });

  test.each<[string, () => void]>([
    ["poll", () => poll()],
    ["drain", () => drain(1000)],
    ["runForever", () => runForever()],
  ])("%s sees the next step of a native procedure, when nothing else is pending", (_name, run) => {
    let isDone = false;
    const procedure = async (): Promise<void> => {
      const finished = newFuture();
      finished.complete();
      await finished;
      await sleepAsync(0);
      isDone = true;
    };
    procedure();
    try {
      run();
    } catch (error) {
      expect((error as Error).message).toBe(NOTHING_PENDING);
    }
    expect(isDone).toBe(true);
  });

  test("Q19: drain returns at once, without an error, when nothing is pending", () => {
    expect(millisecondsOf(() => drain(500))).toBeLessThan(100);
  });

  test("Q19: drain returns as soon as nothing is pending any more", () => {
    sleepAsync(10);
    expect(millisecondsOf(() => drain(2000))).toBeLessThan(500);
    expect(hasPendingOperations()).toBe(false);
  });

  test("drain(-1) polls until nothing is pending", () => {
    const first = sleepAsync(5);
    const second = sleepAsync(10);
    drain(-1);
    expect([first.finished, second.finished]).toEqual([true, true]);
  });

  test("runForever ends by the ValueError once nothing is pending", () => {
    let fired = false;
    sleepAsync(5).addCallback(() => {
      fired = true;
    });
    expectThrow(() => runForever(), ValueError, NOTHING_PENDING);
    expect(fired).toBe(true);
  });

  test("runForever ends by what a callback throws", () => {
    const failing = newFuture("failing");
    asyncCheck(failing);
    callSoon(() => failing.fail(new Error("left the loop")));
    expectThrow(() => runForever(), Error, "left the loop");
  });

  test("promise reactions run at the end of the poll that settled their promise", () => {
    const log: string[] = [];
    const future = new Future<string>("future");
    future.then((value) => log.push(value));
    callSoon(() => future.complete("reaction"));
    callSoon(() => log.push("queued"));
    poll();
    expect(log).toEqual(["queued", "reaction"]);
  });
});

test.skipIf(isWindows)(
  "maxDescriptors is the soft limit of open files less one (skipped on Windows, which has none)",
  () => {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const soft = Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1]);
    expect(maxDescriptors()).toBe(soft - 1);
  },
);

describe("on a virtual clock", () => {
  test("Q19: drain(200) with a ticker of 20 ms lasts 200 ms", () => {
    simulate((simulation) => {
      let ticks = 0;
      const tick = (): void => {
        ticks += 1;
        sleepAsync(20).addCallback(tick);
      };
      tick();
      drain(200);
      expect(simulation.now()).toBe(200);
      expect(ticks).toBe(11);
    });
  });

  test("Q19: drain(60) that wakes after 40 ms waits 20 ms more", () => {
    simulate((simulation) => {
      const fd = simulation.openDescriptor();
      register(fd);
      addRead(fd, () => true);
      sleepAsync(40);
      drain(60);
      expect(simulation.now()).toBe(60);
    });
  });
});
