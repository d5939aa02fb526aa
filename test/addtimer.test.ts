import { expect, test } from "bun:test";
import {
  AssertionDefect,
  type AsyncFD,
  addRead,
  addTimer,
  callSoon,
  contains,
  drain,
  getGlobalDispatcher,
  hasPendingOperations,
  poll,
  unregister,
  ValueError,
} from "../src/index.ts";
import { simulate } from "../src/testing.ts";
import { expectThrow, millisecondsOf, onEachBackend } from "./backends.ts";
import { changedSince, openDescriptors } from "./descriptors.ts";

onEachBackend(() => {
  test("Q13: a timer of 0 ms fires in the next poll", () => {
    let calls = 0;
    addTimer(0, true, () => ++calls > 0);
    expect(calls).toBe(0);
    poll();
    expect(calls).toBe(1);
  });

  test("Q13: a oneshot timer is gone after it fired, whatever its callback returns", () => {
    const timers = [true, false].map((result) => addTimer(0, true, () => result));
    poll();
    expect(timers.map(contains)).toEqual([false, false]);
    expect(hasPendingOperations()).toBe(false);
  });

  test("a timer is never early", () => {
    let fired = false;
    addTimer(20, true, () => {
      fired = true;
      return true;
    });
    const elapsed = millisecondsOf(() => {
      while (!fired) poll(-1);
    });
    expect(elapsed).toBeGreaterThanOrEqual(20);
  });

  test("a periodic timer fires until its callback returns true", () => {
    let calls = 0;
    const timer = addTimer(1, false, () => ++calls === 3);
    drain(5000);
    expect(calls).toBe(3);
    expect(contains(timer)).toBe(false);
  });

  test("the callback gets the timer's virtual descriptor", () => {
    let seen: AsyncFD | undefined;
    const timer = addTimer(0, true, (fd) => {
      seen = fd;
      return true;
    });
    poll();
    expect(seen).toBe(timer);
    expect(timer).toBeLessThan(-1);
  });

  test("a timer takes no descriptor of the system", () => {
    const before = openDescriptors();
    const timers = Array.from({ length: 100 }, () => addTimer(60_000, true, () => true));
    expect(changedSince(before)).toEqual([]);
    for (const timer of timers) unregister(timer);
  });

  test("an unregistered timer never fires and leaves nothing pending", () => {
    const timer = addTimer(60_000, false, () => false);
    expect(contains(timer)).toBe(true);
    unregister(timer);
    expect(contains(timer)).toBe(false);
    expect(hasPendingOperations()).toBe(false);
  });

  test("a timer is unregistered once; its number is not another timer's", () => {
    const timer = addTimer(60_000, true, () => true);
    unregister(timer);
    const next = addTimer(60_000, true, () => true);
    expect(next).not.toBe(timer);
    expect(() => unregister(timer)).toThrow(`Descriptor ${timer} is not registered in the selector!`);
    unregister(next);
  });

  test("a timer that is gone is not registered, however often its place was used", () => {
    for (let round = 0; round < 40; round++) {
      const timer = addTimer(60_000, true, () => true);
      unregister(timer);
      const message = `Descriptor ${timer} is not registered in the selector!`;
      expectThrow(() => unregister(timer), AssertionDefect, message);
      expectThrow(() => addRead(timer, () => true), ValueError, "File descriptor not registered.");
    }
  });

  test("R12: a timer's callback that unregisters another timer of the same poll keeps it from firing", () => {
    const log: string[] = [];
    let second: AsyncFD;
    addTimer(0, true, () => {
      log.push("first");
      unregister(second);
      return true;
    });
    second = addTimer(0, true, () => log.push("second") > 0);
    poll();
    expect(log).toEqual(["first"]);
  });

  test("a callback may unregister its own timer", () => {
    let calls = 0;
    addTimer(1, false, (fd) => {
      calls += 1;
      unregister(fd);
      return false;
    });
    drain(5000);
    expect(calls).toBe(1);
  });

  test("what a callback throws leaves poll, and a periodic timer goes on", () => {
    let calls = 0;
    addTimer(1, false, () => {
      calls += 1;
      if (calls === 1) throw new Error("first tick");
      return true;
    });
    expect(() => drain(5000)).toThrow("first tick");
    drain(5000);
    expect(calls).toBe(2);
  });

  test("a closed dispatcher stops its timers", () => {
    const dispatcher = getGlobalDispatcher();
    addTimer(60_000, false, () => false);
    dispatcher.close();
    expect(dispatcher.hasPendingOperations()).toBe(false);
  });
});

test("R22: missed periodic ticks are one call, and the rhythm is kept", () =>
  simulate((simulation) => {
    const ticks: number[] = [];
    addTimer(10, false, () => {
      ticks.push(simulation.now());
      return ticks.length === 4;
    });
    // The thread is busy until 47 ms.
    callSoon(() => simulation.advance(47));
    while (hasPendingOperations()) poll(-1);
    expect(ticks).toEqual([47, 50, 60, 70]);
  }));
