import { expect, jest, onTestFinished, test } from "bun:test";
import {
  addRead,
  addTimer,
  addWrite,
  contains,
  drain,
  getGlobalDispatcher,
  recv,
  sleepAsync,
  unregister,
  waitFor,
} from "../src/index.ts";
import { emptyFifo, isWindows, onEachBackend } from "./backends.ts";
import { aWhile, called, hostedPair } from "./bunloop-helper.ts";
import { isQemu } from "./qemu.ts";

/**
 * How late a timer that is on time may be: the clock of Windows ticks each 15.6 ms, and a tick may be missed; under
 * qemu all takes ten times as long.
 */
const LATE_MS = isWindows ? 32 : isQemu ? 10 : 1;

/** How long `future` takes from now on. */
async function timeOf(operation: () => PromiseLike<unknown>): Promise<number> {
  const start = performance.now();
  await operation();
  return performance.now() - start;
}

/** The best of some measurements: what else runs on the machine makes single ones late. */
async function bestOf(times: number, measure: () => Promise<number>): Promise<number> {
  let best = Infinity;
  for (let i = 0; i < times; i++) best = Math.min(best, await measure());
  return best;
}

/** Stops the clocks of JavaScript for the rest of the test. */
function stopClocks(): void {
  jest.useFakeTimers();
  onTestFinished(() => void jest.useRealTimers());
}

onEachBackend(() => {
  test.each([0.5, 5, 50])("sleepAsync(%p) is on time with nothing else pending, and never early", async (ms) => {
    const best = await bestOf(10, async () => {
      const taken = await timeOf(() => sleepAsync(ms));
      expect(taken).toBeGreaterThanOrEqual(ms);
      return taken;
    });
    expect(best).toBeLessThan(ms + LATE_MS);
  });

  test("sleepAsync is on time beside a pending recv", async () => {
    const [, there] = await hostedPair();
    const received = recv(there, 100);
    expect(await bestOf(10, () => timeOf(() => sleepAsync(2)))).toBeLessThan(2 + LATE_MS);
    received.cancel();
  });

  test("of five hundred timers at once none is early", async () => {
    const start = performance.now();
    const early: number[] = [];
    const sleeps = Array.from({ length: 500 }, async (_, i) => {
      const ms = ((i * 7919) % 500) / 20;
      await sleepAsync(ms);
      if (performance.now() - start < ms) early.push(ms);
    });
    await Promise.all(sleeps);
    expect(early).toEqual([]);
  });

  test("timers fire in the order of their times, and of equal ones the older one first", async () => {
    const fired: number[] = [];
    const sleeps = [40, 2, 20, 2, 2, 0, 20].map(async (ms, i) => {
      await sleepAsync(ms);
      fired.push(i);
    });
    await Promise.all(sleeps);
    expect(fired).toEqual([5, 1, 3, 4, 2, 6, 0]);
  });

  test("a periodic addTimer keeps its rhythm", async () => {
    const start = performance.now();
    const ticks: number[] = [];
    await called((callback) =>
      addTimer(4, false, (fd) => {
        ticks.push(performance.now() - start);
        return ticks.length === 10 && callback(fd);
      }),
    );
    // A late tick may be near the next one, but no tick is before its time.
    for (const [i, tick] of ticks.entries()) expect(tick).toBeGreaterThanOrEqual(4 * (i + 1));
    await aWhile();
    expect(ticks.length).toBe(10);
  });

  test("a timer that is added in a callback of Bun, earlier than all others, is on time", async () => {
    const late = sleepAsync(60_000);
    await aWhile();
    const taken = await bestOf(
      10,
      () => new Promise((resolve) => setTimeout(() => resolve(timeOf(() => sleepAsync(2))), 1)),
    );
    expect(taken).toBeLessThan(2 + LATE_MS);
    late.cancel();
  });

  test("a timer that is later than a cancelled one is on time", async () => {
    const taken = await bestOf(10, async () => {
      const cancelled = addTimer(4, true, () => true);
      // The bell is set for it when Bun's loop has gone on.
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (contains(cancelled)) unregister(cancelled);
      return timeOf(() => sleepAsync(8));
    });
    expect(taken).toBeWithin(8, 8 + LATE_MS);
  });

  test("timers of thirty different times are all on time although each is added in a callback of Bun", async () => {
    const sleeps: Promise<number>[] = [];
    for (let ms = 30; ms > 0; ms--) {
      await new Promise((resolve) => setImmediate(resolve));
      sleeps.push(timeOf(() => sleepAsync(ms)).then((taken) => taken - ms));
    }
    const late = await Promise.all(sleeps);
    expect(Math.min(...late)).toBeWithin(0, LATE_MS);
    expect(late.toSorted((a, b) => a - b)[late.length / 2]).toBeLessThan(10);
  });

  // A test runner's fake timers stop performance.now() as well.
  test("with jest's fake timers, sleepAsync and addTimer take real time", async () => {
    stopClocks();
    await sleepAsync(5);
    await called((callback) => addTimer(5, true, callback));
    await sleepAsync(0);
  });

  test("with jest's fake timers, descriptors are served", async () => {
    stopClocks();
    const [here, there] = await hostedPair();
    const received = recv(there, 100);
    addWrite(here, () => true);
    await sleepAsync(1);
    expect(received.finished).toBe(false);
    received.cancel();
  });

  test("with jest's fake timers, blocking calls take real time", () => {
    stopClocks();
    waitFor(sleepAsync(5));
    const fifo = emptyFifo();
    addRead(fifo, () => true);
    drain(5);
    expect(getGlobalDispatcher().activeDescriptors()).toBe(1);
  });

  test("with jest's fake timers, a busy dispatcher leaves Bun's loop its turn", async () => {
    stopClocks();
    let calls = 0;
    const busy = emptyFifo();
    addWrite(busy, () => {
      calls += 1;
      return false;
    });
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    unregister(busy);
    expect(calls).toBeGreaterThan(0);
  });
});
