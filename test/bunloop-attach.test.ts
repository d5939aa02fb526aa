import { expect, test } from "bun:test";
import {
  AssertionDefect,
  addRead,
  addTimer,
  callSoon,
  type Dispatcher,
  getGlobalDispatcher,
  newDispatcher,
  poll,
  recv,
  register,
  type SelectorKind,
  setGlobalDispatcher,
  sleepAsync,
  ValueError,
} from "../src/index.ts";
import { newSimulatedDispatcher } from "../src/testing.ts";
import { emptyFifo, expectThrow, onEachBackend, openFifo, readableFifo, thrownBy, writeTo } from "./backends.ts";
import { aWhile, called, hostedPair, waiterThreads } from "./bunloop-helper.ts";
import { changedSince, openDescriptors, openedSince } from "./descriptors.ts";

/** A test with a dispatcher that is not the global one, which is closed after it. */
function withOwn(selector: SelectorKind, body: (own: Dispatcher) => Promise<void>): () => Promise<void> {
  return async () => {
    using own = newDispatcher({ selector });
    await body(own);
  };
}

/** What `body` gives, run with `dispatcher` as the global one. */
function inside<R>(dispatcher: Dispatcher, body: () => R): R {
  let result: { value: R } | undefined;
  dispatcher.callSoon(() => {
    result = { value: body() };
  });
  dispatcher.poll(0);
  return (result as { value: R }).value;
}

function ranSoon(dispatcher: Dispatcher): Promise<void> {
  return new Promise((resolve) => dispatcher.callSoon(resolve));
}

/** Expects that Bun's loop does not run what is queued. */
async function expectNotDriven(dispatcher: Dispatcher): Promise<void> {
  let ran = false;
  dispatcher.callSoon(() => {
    ran = true;
  });
  await aWhile();
  expect(ran).toBe(false);
}

onEachBackend((selector) => {
  test(
    "a new dispatcher is not driven until it is attached",
    withOwn(selector, async (own) => {
      await expectNotDriven(own);
      const ran = ranSoon(own);
      own.attach();
      await ran;
    }),
  );

  test(
    "what was pending before attach() is driven after it",
    withOwn(selector, async (own) => {
      const fifo = openFifo();
      const came = inside(own, () => {
        register(fifo);
        return [called((callback) => addRead(fifo, callback)), called((callback) => addTimer(1, true, callback))];
      });
      writeTo(fifo, "x");
      own.attach();
      await Promise.all(came);
    }),
  );

  test(
    "a dispatcher is not driven after detach(), but can be polled",
    withOwn(selector, async (own) => {
      own.attach();
      await ranSoon(own);
      own.detach();
      await expectNotDriven(own);
      const ran = ranSoon(own);
      own.poll(0);
      await ran;
    }),
  );

  test("detach() with a bell on its way: nobody is called", async () => {
    const dispatcher = getGlobalDispatcher();
    const fifo = emptyFifo();
    let calls = 0;
    addRead(fifo, () => {
      calls += 1;
      return true;
    });
    await sleepAsync(1);
    writeTo(fifo, "x");
    Bun.sleepSync(10);
    dispatcher.detach();
    await aWhile();
    expect(calls).toBe(0);
    poll(0);
    expect(calls).toBe(1);
  });

  test("detach() and attach() with a bell on its way lose and repeat nothing", async () => {
    const dispatcher = getGlobalDispatcher();
    const fifo = emptyFifo();
    let calls = 0;
    const came = called((callback) =>
      addRead(fifo, (fd) => {
        calls += 1;
        return callback(fd);
      }),
    );
    await sleepAsync(1);
    writeTo(fifo, "x");
    Bun.sleepSync(10);
    dispatcher.detach();
    dispatcher.attach();
    await came;
    await aWhile();
    expect(calls).toBe(1);
  });

  test(
    "attach() and detach() again change nothing",
    withOwn(selector, async (own) => {
      own.detach();
      const before = waiterThreads();
      inside(own, () => addTimer(60_000, true, () => true));
      own.attach();
      own.attach();
      await aWhile();
      own.attach();
      await aWhile();
      expect(waiterThreads().length).toBe(before.length + 1);
      own.detach();
      own.detach();
      expect(waiterThreads()).toEqual(before);
      await expectNotDriven(own);
    }),
  );

  test("detach() inside a hosted callback: its round goes on, and no other one follows", async () => {
    const dispatcher = getGlobalDispatcher();
    const log: string[] = [];
    const fifo = readableFifo();
    const detached = called((callback) =>
      addRead(fifo, (fd) => {
        dispatcher.detach();
        callSoon(() => log.push("same round"));
        addTimer(1, true, () => {
          log.push("next round");
          return true;
        });
        return callback(fd);
      }),
    );
    await detached;
    await aWhile();
    expect(log).toEqual(["same round"]);
    while (dispatcher.hasPendingOperations()) poll(-1);
    expect(log).toEqual(["same round", "next round"]);
  });

  test("detach() and attach() inside a hosted callback go on", async () => {
    const dispatcher = getGlobalDispatcher();
    for (let i = 0; i < 3; i++) {
      const fifo = readableFifo();
      await called((callback) =>
        addRead(fifo, (fd) => {
          dispatcher.detach();
          dispatcher.attach();
          return callback(fd);
        }),
      );
      await sleepAsync(1);
    }
  });

  test("a hundred times attached and detached, neither a thread nor a descriptor is left", async () => {
    const dispatcher = getGlobalDispatcher();
    dispatcher.detach();
    // Those of an earlier test may be about to go.
    const [threads, descriptors] = [waiterThreads(), openDescriptors()];
    for (let i = 0; i < 100; i++) {
      dispatcher.attach();
      await sleepAsync(0);
      dispatcher.detach();
    }
    expect(waiterThreads().filter((thread) => !threads.includes(thread))).toEqual([]);
    expect(openedSince(descriptors)).toEqual([]);
  });

  test("a closed dispatcher cannot be attached", () => {
    const own = newDispatcher({ selector });
    own.close();
    expectThrow(() => own.attach(), ValueError, "The dispatcher is closed.");
    own.detach();
  });

  test("a dispatcher whose selector Bun's loop cannot wait for cannot be attached, but can be the global one", () => {
    using simulated = newSimulatedDispatcher();
    expectThrow(() => simulated.attach(), ValueError, "Bun's loop cannot wait for this selector");
    setGlobalDispatcher(simulated);
    expect(getGlobalDispatcher()).toBe(simulated);
  });

  test(
    "setGlobalDispatcher attaches",
    withOwn(selector, async (own) => {
      setGlobalDispatcher(own);
      await sleepAsync(1);
    }),
  );

  test(
    "a dispatcher that is not the global one any more is still driven",
    withOwn(selector, async (own) => {
      const [here, there] = await hostedPair();
      const received = recv(there, 100);
      const slept = sleepAsync(5);
      setGlobalDispatcher(own);
      writeTo(here, "x");
      expect((await received).toString()).toBe("x");
      await slept;
    }),
  );

  test(
    "in its callbacks, each of two driven dispatchers is the global one",
    withOwn(selector, async (own) => {
      const first = getGlobalDispatcher();
      own.attach();
      const seen = (dispatcher: Dispatcher) =>
        new Promise<Dispatcher>((resolve) => dispatcher.callSoon(() => resolve(getGlobalDispatcher())));
      for (let i = 0; i < 10; i++) expect(await Promise.all([seen(first), seen(own)])).toEqual([first, own]);
      await aWhile();
      expect(getGlobalDispatcher()).toBe(first);
    }),
  );

  test("close() with operations pending fails them, and leaves neither a thread nor a descriptor", async () => {
    const fifo = openFifo();
    const [threads, descriptors] = [waiterThreads(), openDescriptors()];
    const own = newDispatcher({ selector });
    own.attach();
    const slept = inside(own, () => {
      register(fifo);
      addRead(fifo, () => expect.unreachable());
      return sleepAsync(60_000);
    });
    await aWhile();
    expect(waiterThreads().length).toBe(threads.length + 1);
    own.close();
    expect([waiterThreads(), changedSince(descriptors)]).toEqual([threads, []]);
    expect(slept.error).toMatchObject({ code: "ECANCELED" });
  });

  test("close() after an await of what it drives itself gives the global dispatcher its place back", async () => {
    const global = getGlobalDispatcher();
    const own = newDispatcher({ selector });
    own.attach();
    await inside(own, () => sleepAsync(1));
    own.close();
    expect(getGlobalDispatcher()).toBe(global);
    await sleepAsync(1);
    global.close();
    expect(getGlobalDispatcher()).not.toBe(global);
    getGlobalDispatcher().close();
  });

  test(
    "the global dispatcher closed in a round of another one is not the global one after it",
    withOwn(selector, async (own) => {
      const global = getGlobalDispatcher();
      own.attach();
      await inside(own, () => sleepAsync(1));
      global.close();
      await aWhile();
      expect(getGlobalDispatcher()).not.toBe(global);
      getGlobalDispatcher().close();
    }),
  );

  test("close() inside a hosted callback is refused, and the loop goes on", async () => {
    const dispatcher = getGlobalDispatcher();
    const error = await new Promise((resolve) => callSoon(() => resolve(thrownBy(() => dispatcher.close()))));
    expect(error).toBeInstanceOf(AssertionDefect);
    await sleepAsync(1);
  });
});
