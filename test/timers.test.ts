import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { getGlobalDispatcher, poll, sleepAsync, ValueError, waitFor } from "../src/index.ts";
import { simulate } from "../src/testing.ts";
import { type TimerId, TimerQueue, type TimerTarget } from "../src/timers.ts";
import { expectThrow, isWindows, millisecondsOf, onEachBackend } from "./backends.ts";
import { isQemu } from "./qemu.ts";

type Step = { do: "add"; deadline: number } | { do: "cancel"; which: number } | { do: "popDue"; now: number };

/** Few different deadlines, so that ties are common. */
const time = fc.integer({ min: 0, max: 30 });

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant("add" as const), deadline: time }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cancel" as const), which: fc.nat(10_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("popDue" as const), now: time }) },
);

interface ModelTimer {
  id: TimerId;
  deadline: number;
  target: TimerTarget;
}

/** What a {@link TimerQueue} must do: a list in the order in which the timers fire. */
class Model {
  readonly pending: ModelTimer[] = [];

  add(timer: ModelTimer): void {
    const later = this.pending.findIndex((other) => other.deadline > timer.deadline);
    this.pending.splice(later === -1 ? this.pending.length : later, 0, timer);
  }

  cancel(id: TimerId): boolean {
    const index = this.pending.findIndex((timer) => timer.id === id);
    if (index !== -1) this.pending.splice(index, 1);
    return index !== -1;
  }

  popDue(now: number): TimerTarget | undefined {
    return (this.pending[0]?.deadline ?? Infinity) <= now ? this.pending.shift()?.target : undefined;
  }
}

function newTarget(): TimerTarget {
  return { complete() {}, fail() {} };
}

describe("TimerQueue", () => {
  test("behaves as a sorted list under any sequence of add, cancel and popDue", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400, size: "max" }), (steps) => {
        const heap = new TimerQueue();
        const model = new Model();
        const ids: TimerId[] = [];
        for (const command of steps) {
          if (command.do === "add") {
            const target = newTarget();
            const id = heap.add(command.deadline, target);
            ids.push(id);
            model.add({ id, deadline: command.deadline, target });
          } else if (command.do === "cancel") {
            if (ids.length === 0) continue;
            const id = ids[command.which % ids.length] as TimerId;
            expect(heap.cancel(id)).toBe(model.cancel(id));
          } else {
            expect(heap.popDue(command.now)).toBe(model.popDue(command.now) as TimerTarget);
          }
          expect(heap.size).toBe(model.pending.length);
          expect(heap.nextDeadline).toBe(model.pending[0]?.deadline ?? Infinity);
        }
        expect(new Set(ids).size).toBe(ids.length);
        while (model.pending.length > 0) expect(heap.popDue(Infinity)).toBe(model.popDue(Infinity) as TimerTarget);
        expect(heap.size).toBe(0);
        for (const id of ids) expect(heap.cancel(id)).toBe(false);
      }),
      { numRuns: 200 },
    );
  });

  test("timers of one deadline are popped in the order in which they were added", () => {
    const heap = new TimerQueue();
    const targets = Array.from({ length: 1000 }, newTarget);
    for (const target of targets) heap.add(7, target);
    expect(targets.map(() => heap.popDue(7))).toEqual(targets);
  });

  test("the id of a timer that is gone does not cancel the one that took its slot", () => {
    const heap = new TimerQueue();
    const first = heap.add(1, newTarget());
    heap.cancel(first);
    const second = heap.add(1, newTarget());
    expect(heap.cancel(first)).toBe(false);
    expect(heap.cancel(second)).toBe(true);
  });

  test("nothing is due in an empty heap", () => {
    const heap = new TimerQueue();
    expect(heap.popDue(Infinity)).toBeUndefined();
    expect(heap.nextDeadline).toBe(Infinity);
  });
});

onEachBackend(() => {
  test.each([0.3, 1, 2.5, 10])("sleepAsync(%p) is never early", (ms) => {
    for (let i = 0; i < 5; i++) {
      expect(millisecondsOf(() => waitFor(sleepAsync(ms)))).toBeGreaterThanOrEqual(ms);
    }
  });

  test.skipIf(isQemu || isWindows)(
    "sleepAsync(0.3) takes less than a millisecond where the machine is free for it (skipped under qemu, which lacks epoll_pwait2, and on Windows, whose clock ticks more slowly)",
    () => {
      const runs = Array.from({ length: 20 }, () => millisecondsOf(() => waitFor(sleepAsync(0.3))));
      expect(Math.min(...runs)).toBeLessThan(1);
    },
  );

  test.each([0, -1, -1e9])("sleepAsync(%p) is not finished at return and fires in the next poll", (ms) => {
    const timer = sleepAsync(ms);
    expect(timer.finished).toBe(false);
    poll(0);
    expect(timer.finished).toBe(true);
  });

  test.each([
    [NaN, ValueError, "Cannot wait for NaN ms"],
    [Infinity, ValueError, "Cannot wait for Infinity ms"],
    ["x", TypeError, "Expected milliseconds, got string"],
    [undefined, TypeError, "Expected milliseconds, got undefined"],
  ] as const)("sleepAsync(%p) raises an error and starts nothing", (ms, type, message) => {
    expectThrow(() => sleepAsync(ms as number), type, message);
    expect(getGlobalDispatcher().statistics().pendingTimers).toBe(0);
  });

  test("timers fire in the order of their deadlines, whatever the order in which they are started", () => {
    const fired: number[] = [];
    // So far apart that a busy machine does not start the later one first.
    const delays = [160, 40, 120, 80, 200];
    for (const ms of delays) sleepAsync(ms).addCallback(() => fired.push(ms));
    waitFor(sleepAsync(240));
    expect(fired).toEqual([40, 80, 120, 160, 200]);
  });

  test("a timer that is started by a continuation of another is waited for", () => {
    let second = false;
    sleepAsync(1).addCallback(() =>
      sleepAsync(1).addCallback(() => {
        second = true;
      }),
    );
    poll();
    poll();
    expect(second).toBe(true);
  });
});

describe("a simulated clock", () => {
  test("1000 timers fire by deadline, and by age when they have the same", () => {
    simulate(() => {
      const fired: [number, number][] = [];
      const delays = Array.from({ length: 1000 }, (_, i) => (i * 7919) % 100);
      for (const [age, ms] of delays.entries()) sleepAsync(ms).addCallback(() => fired.push([ms, age]));
      waitFor(sleepAsync(100));
      expect(fired).toEqual(fired.toSorted(([a, ageA], [b, ageB]) => a - b || ageA - ageB));
      expect(fired.length).toBe(1000);
    });
  });

  test("a poll waits no longer than until the next timer", () => {
    simulate((simulation) => {
      sleepAsync(12.5);
      poll(500);
      expect(simulation.now()).toBe(12.5);
    });
  });

  test("a poll waits for its own timeout when the next timer is later", () => {
    simulate((simulation) => {
      sleepAsync(1000);
      poll(100);
      expect(simulation.now()).toBe(100);
    });
  });

  test("Q1: a poll that finished a timer before waiting does not wait", () => {
    simulate((simulation) => {
      sleepAsync(0);
      sleepAsync(1000);
      poll(500);
      expect(simulation.now()).toBe(0);
    });
  });

  test("a timer that is due after the wait fires in the same poll", () => {
    simulate(() => {
      let fired = false;
      sleepAsync(10).addCallback(() => {
        fired = true;
      });
      poll(500);
      expect(fired).toBe(true);
    });
  });
});
