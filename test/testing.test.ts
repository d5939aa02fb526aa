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
  async,
  asyncCheck,
  createAsyncNativeSocket,
  type Dispatcher,
  dial,
  drain,
  type Future,
  getGlobalDispatcher,
  getIoHandler,
  IOSelectorsException,
  newAsyncEvent,
  newFuture,
  OSError,
  poll,
  recv,
  register,
  sleepAsync,
  unregister,
  ValueError,
  waitFor,
  withTimeout,
} from "../src/index.ts";
import { newSimulatedDispatcher, type SimulatedSelector, type SimulationOptions, simulate } from "../src/testing.ts";
import { expectThrow, isWindows, thrownBy } from "./backends.ts";
import { runLimited } from "./children.ts";
import { changedSince, openDescriptors } from "./descriptors.ts";

/** In which order `count` descriptors that are always readable are called, and how often, in `polls` polls. */
function callsOf(seed: number, count: number, polls: number): number[] {
  const watchAll = (simulation: SimulatedSelector): number[] => {
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
  };
  return simulate(watchAll, { seed });
}

const seed = fc.nat();

describe("the clock", () => {
  test("begins at 0, and waiting moves it to the next timer at once", () => {
    simulate((simulation) => {
      expect(simulation.now()).toBe(0);
      const start = performance.now();
      expect(waitFor(withTimeout(newFuture("never"), 3_600_000))).toBe(false);
      expect(simulation.now()).toBe(3_600_000);
      expect(performance.now() - start).toBeLessThan(60_000);
    });
  });

  test("a periodic timer keeps its rhythm to the digit", () => {
    simulate((simulation) => {
      const ticks: number[] = [];
      addTimer(1000.5, false, () => ticks.push(simulation.now()) === 3);
      while (ticks.length < 3) poll(-1);
      expect(ticks).toEqual([1000.5, 2001, 3001.5]);
    });
  });

  test("advance lets time pass outside a poll; the timers fire in the next one", () => {
    simulate((simulation) => {
      const sleeping = sleepAsync(50);
      simulation.advance(60);
      expect(sleeping.finished).toBe(false);
      poll(0);
      expect(sleeping.finished).toBe(true);
      expect(simulation.now()).toBe(60);
    });
  });

  test("moves by a microsecond per poll that finds a descriptor ready, so that what is always ready ends too", () => {
    simulate((simulation) => {
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
    simulate((simulation) => {
      const procedure = async (): Promise<number> => {
        await sleepAsync(10);
        await sleepAsync(20);
        return simulation.now();
      };
      expect(waitFor(procedure())).toBe(30);
    });
  });

  test.each([-1, Infinity])("a poll(%p) that could never end is an AssertionDefect", (timeoutMs) => {
    simulate((simulation) => {
      const fd = simulation.openDescriptor();
      register(fd);
      addRead(fd, () => true);
      const message = "Nothing can happen any more: no timer, and no descriptor is ready";
      expectThrow(() => poll(timeoutMs), AssertionDefect, message);
      expect(simulation.now()).toBe(0);
    });
  });

  test.each([-1, NaN, Infinity])("it does not advance by %p ms", (ms) => {
    simulate((simulation) => {
      expect(thrownBy(() => simulation.advance(ms))).toBeInstanceOf(ValueError);
      expect(simulation.now()).toBe(0);
    });
  });
});

describe("descriptors", () => {
  test("are ready when the test says so, until it says otherwise", () => {
    simulate((simulation) => {
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
    simulate((simulation) => {
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
    simulate((simulation) => {
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
    simulate((simulation) => {
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
    simulate(() => {
      const before = openDescriptors();
      using event = newAsyncEvent();
      expect(thrownBy(() => register(0 as AsyncFD))).toBeInstanceOf(IOSelectorsException);
      expect(thrownBy(() => addEvent(event, () => true))).toBeInstanceOf(IOSelectorsException);
      expect(thrownBy(() => addProcess(process.pid, () => true))).toBeInstanceOf(IOSelectorsException);
      expect(thrownBy(() => createAsyncNativeSocket())).toBeInstanceOf(IOSelectorsException);
      expect(thrownBy(() => waitFor(dial("localhost", 80)))).toBeInstanceOf(IOSelectorsException);
      event.close();
      expect(changedSince(before)).toEqual([]);
    });
  });

  test("that are not this simulation's cannot be made ready", () => {
    simulate((simulation) => {
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

describe("simulate", () => {
  test("waits for what the body returns, a promise or a future, on the virtual clock", () => {
    const native = async (): Promise<number> => {
      await sleepAsync(3_600_000);
      return 1;
    };
    const procedure = async(function* () {
      yield* sleepAsync(3_600_000);
      return 2;
    });
    expect([simulate(native), simulate(procedure), simulate(() => 3)]).toEqual([1, 2, 3]);
  });

  test.each([
    ["completes", () => {}],
    [
      "fails",
      () => {
        throw new Error("reason");
      },
    ],
  ])("the dispatcher before is the global one again when the body %s", (_what, body) => {
    const before = getGlobalDispatcher();
    try {
      simulate(body);
    } catch {}
    expect(getGlobalDispatcher()).toBe(before);
  });

  test("raises the error of the body, not one of the callbacks that run as it closes", () => {
    const untidy = async(function* () {
      try {
        yield* sleepAsync(60_000);
      } finally {
        // biome-ignore lint/correctness/noUnsafeFinally: that it throws is what is tested
        throw new Error("from close");
      }
    });
    const failing = async (): Promise<never> => {
      asyncCheck(untidy());
      await sleepAsync(1);
      throw new Error("reason");
    };
    expectThrow(() => simulate(failing), Error, "reason");
    expectThrow(() => simulate(() => asyncCheck(untidy())), Error, "from close");
  });

  test("leaves alone what was begun before it", async () => {
    const begin = async (): Promise<string> => {
      await null;
      await sleepAsync(1);
      return "done";
    };
    const begun = begin();
    simulate(() => sleepAsync(1));
    expect(await begun).toBe("done");
  });

  test("raises when what the body returns can never finish, and closes the dispatcher all the same", () => {
    let inner: Dispatcher | undefined;
    const endless = (): Future<void> => {
      inner = getGlobalDispatcher();
      return newFuture("never");
    };
    expectThrow(() => simulate(endless), ValueError, "No handles or timers registered in dispatcher.");
    expectThrow(() => inner?.poll(), ValueError, "The dispatcher is closed.");
  });

  test.each([undefined, null, 1, {}])("%p is no body", (body) => {
    expect(thrownBy(() => simulate(body as never))).toBeInstanceOf(TypeError);
  });
});
