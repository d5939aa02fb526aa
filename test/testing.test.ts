import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  AssertionDefect,
  type AsyncFD,
  addEvent,
  addProcess,
  addRead,
  addTimer,
  addWrite,
  createAsyncNativeSocket,
  dial,
  drain,
  getIoHandler,
  IOSelectorsException,
  newAsyncEvent,
  newFuture,
  OSError,
  poll,
  recv,
  register,
  setGlobalDispatcher,
  sleepAsync,
  unregister,
  ValueError,
  waitFor,
  withTimeout,
} from "../src/index.ts";
import { newSimulatedDispatcher, type SimulatedSelector, type SimulationOptions } from "../src/testing.ts";
import { expectThrow, isWindows, openDescriptors, thrownBy } from "./backends.ts";
import { runLimited } from "./children.ts";

/** Runs `body` with a simulated dispatcher as the global one. */
function simulated<T>(seed: number, body: (simulation: SimulatedSelector) => T): T {
  using dispatcher = newSimulatedDispatcher({ seed });
  setGlobalDispatcher(dispatcher);
  return body(dispatcher.simulation);
}

/** In which order `count` descriptors that are always readable are called, and how often, in `polls` polls. */
function callsOf(seed: number, count: number, polls: number): number[] {
  return simulated(seed, (simulation) => {
    const calls: number[] = [];
    for (let number = 0; number < count; number++) {
      const fd = simulation.openDescriptor();
      register(fd);
      addRead(fd, () => {
        calls.push(number);
        return false;
      });
      simulation.setReadable(fd);
    }
    for (let left = polls; left > 0; left--) poll(0);
    return calls;
  });
}

const seed = fc.nat();

describe("the clock", () => {
  test("begins at 0, and waiting moves it to the next timer at once", () => {
    simulated(0, (simulation) => {
      expect(simulation.now()).toBe(0);
      const start = performance.now();
      expect(waitFor(withTimeout(newFuture("never"), 3_600_000))).toBe(false);
      expect(simulation.now()).toBe(3_600_000);
      expect(performance.now() - start).toBeLessThan(60_000);
    });
  });

  test("a periodic timer keeps its rhythm to the digit", () => {
    simulated(0, (simulation) => {
      const ticks: number[] = [];
      addTimer(1000.5, false, () => ticks.push(simulation.now()) === 3);
      while (ticks.length < 3) poll(-1);
      expect(ticks).toEqual([1000.5, 2001, 3001.5]);
    });
  });

  test("advance lets time pass outside a poll; the timers fire in the next one", () => {
    simulated(0, (simulation) => {
      const sleeping = sleepAsync(50);
      simulation.advance(60);
      expect(sleeping.finished).toBe(false);
      poll(0);
      expect(sleeping.finished).toBe(true);
      expect(simulation.now()).toBe(60);
    });
  });

  test("moves by a microsecond per poll that finds a descriptor ready, so that what is always ready ends too", () => {
    simulated(0, (simulation) => {
      const fd = simulation.openDescriptor();
      register(fd);
      addRead(fd, () => false);
      simulation.setReadable(fd);
      poll(-1);
      expect(simulation.now()).toBe(0.001);
      drain(10);
      expect(simulation.now()).toBeCloseTo(10, 2);
    });
  });

  test("a native async procedure goes on as time passes", () => {
    simulated(0, (simulation) => {
      const procedure = async (): Promise<number> => {
        await sleepAsync(10);
        await sleepAsync(20);
        return simulation.now();
      };
      expect(waitFor(procedure())).toBe(30);
    });
  });

  test.each([-1, Infinity])("a poll(%p) that could never end is an AssertionDefect", (timeoutMs) => {
    simulated(0, (simulation) => {
      const fd = simulation.openDescriptor();
      register(fd);
      addRead(fd, () => true);
      const message = "Nothing can happen any more: no timer, and no descriptor is ready";
      expectThrow(() => poll(timeoutMs), AssertionDefect, message);
      expect(simulation.now()).toBe(0);
    });
  });

  test.each([-1, NaN, Infinity])("it does not advance by %p ms", (ms) => {
    simulated(0, (simulation) => {
      expect(thrownBy(() => simulation.advance(ms))).toBeInstanceOf(ValueError);
      expect(simulation.now()).toBe(0);
    });
  });
});

describe("descriptors", () => {
  test("are ready when the test says so, until it says otherwise", () => {
    simulated(0, (simulation) => {
      const calls: string[] = [];
      const fd = simulation.openDescriptor();
      register(fd);
      addRead(fd, () => calls.push("read") > 100);
      addWrite(fd, () => calls.push("write") > 100);
      poll(0);
      simulation.setReadable(fd);
      poll(0);
      simulation.setReadable(fd, false);
      simulation.setWritable(fd);
      poll(0);
      simulation.setWritable(fd, false);
      poll(0);
      expect(calls).toEqual(["read", "write"]);
    });
  });

  test("that failed call who waits for either direction", () => {
    simulated(0, (simulation) => {
      const calls: string[] = [];
      const fd = simulation.openDescriptor();
      register(fd);
      addRead(fd, () => calls.push("read") > 0);
      addWrite(fd, () => calls.push("write") > 0);
      simulation.setFailed(fd);
      poll(0);
      expect(calls).toEqual(["read", "write"]);
    });
  });

  test("that were unregistered are not reported any more, and can be registered again", () => {
    simulated(0, (simulation) => {
      const fd = simulation.openDescriptor();
      const calls: number[] = [];
      for (const round of [1, 2]) {
        register(fd);
        addRead(fd, () => calls.push(round) > 100);
        simulation.setReadable(fd);
        poll(0);
        unregister(fd);
        sleepAsync(0);
        poll(0);
      }
      expect(calls).toEqual([1, 2]);
    });
  });

  test("have numbers that no descriptor of the system has, so a socket procedure fails with EBADF", () => {
    simulated(0, (simulation) => {
      const fd = simulation.openDescriptor();
      register(fd);
      simulation.setReadable(fd);
      const error = thrownBy(() => waitFor(recv(fd, 1)));
      expect(error).toBeInstanceOf(OSError);
      expect(error).toMatchObject({ code: "EBADF" });
    });
  });

  test.skipIf(isWindows)(
    "there are as many as the system leaves numbers (skipped on Windows: it sets no limit)",
    () => {
      const script = `
      import { openSync } from "node:fs";
      import { newSimulatedDispatcher } from "./src/testing.ts";
      try { for (;;) openSync("/dev/null"); } catch {}
      const { simulation } = newSimulatedDispatcher();
      try { simulation.openDescriptor(); } catch ({ name, message }) { console.log(name, message); }`;
      const { stdout } = runLimited(100, script);
      expect(stdout).toBe("IOSelectorsException Maximum number of descriptors is exhausted!");
    },
  );

  test("of the system are refused, however they are registered, and nothing of them is left", () => {
    simulated(0, () => {
      const before = openDescriptors();
      using event = newAsyncEvent();
      expect(thrownBy(() => register(0 as AsyncFD))).toBeInstanceOf(IOSelectorsException);
      expect(thrownBy(() => addEvent(event, () => true))).toBeInstanceOf(IOSelectorsException);
      expect(thrownBy(() => addProcess(process.pid, () => true))).toBeInstanceOf(IOSelectorsException);
      expect(thrownBy(() => createAsyncNativeSocket())).toBeInstanceOf(IOSelectorsException);
      expect(thrownBy(() => waitFor(dial("localhost", 80)))).toBeInstanceOf(IOSelectorsException);
      event.close();
      expect(openDescriptors()).toEqual(before);
    });
  });

  test("that are not this simulation's cannot be made ready", () => {
    simulated(0, (simulation) => {
      expectThrow(() => simulation.setReadable(5 as AsyncFD), ValueError, "5 is not a simulated descriptor");
    });
  });
});

describe("the seed", () => {
  test("decides everything: the same one gives the same run", () => {
    fc.assert(
      fc.property(seed, (number) => {
        expect(callsOf(number, 5, 20)).toEqual(callsOf(number, 5, 20));
      }),
      { numRuns: 20 },
    );
  });

  test("every order of three descriptors comes of some seed", () => {
    const orders = Array.from({ length: 200 }, (_, number) => callsOf(number, 3, 1).join(""));
    const whole = orders.filter((order) => order.length === 3);
    expect([...new Set(whole)].toSorted()).toEqual(["012", "021", "102", "120", "201", "210"]);
  });

  test("a poll sees at least one of the descriptors that are ready, and sooner or later each", () => {
    fc.assert(
      fc.property(seed, (number) => {
        expect(callsOf(number, 4, 1).length).toBeGreaterThan(0);
        expect(new Set(callsOf(number, 4, 100)).size).toBe(4);
      }),
      { numRuns: 20 },
    );
  });

  test("is 0 when nobody chooses, and can be read", () => {
    using dispatcher = newSimulatedDispatcher();
    expect(dispatcher.simulation.seed).toBe(0);
    expect(getIoHandler(dispatcher).kind).toBe("simulated");
  });

  test.each([
    [-1, ValueError],
    [0.5, ValueError],
    [2 ** 32, ValueError],
    [NaN, ValueError],
    ["1", TypeError],
    [null, TypeError],
  ])("%p is none", (value, type) => {
    const options = { seed: value } as SimulationOptions;
    expect(thrownBy(() => newSimulatedDispatcher(options))).toBeInstanceOf(type);
  });
});
