import { expect, test } from "bun:test";
import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import {
  AssertionDefect,
  AsyncEvent,
  type AsyncEventToken,
  activeDescriptors,
  addEvent,
  addRead,
  contains,
  getGlobalDispatcher,
  hasPendingOperations,
  newAsyncEvent,
  newDispatcher,
  poll,
  register,
  type SelectorKind,
  setGlobalDispatcher,
  sleepAsync,
  unregister,
  ValueError,
  waitFor,
} from "../src/index.ts";
import { closeAfterTest, expectThrow, onEachBackend, openFifo, thrownBy } from "./backends.ts";
import { withoutWine } from "./children.ts";
import { openDescriptors } from "./descriptors.ts";
import { type EventTask, SharedPlace } from "./event-worker.ts";

const ALREADY = "Event is already registered in the queue!";
const NOT_REGISTERED = "Event is not registered in the queue!";
const CLOSED = "The event is closed.";

/** Has its event closed when the test is over, also when it fails. */
function eventOf(test: (event: AsyncEvent) => void | Promise<void>): () => Promise<void> {
  return async () => {
    using event = newAsyncEvent();
    await test(event);
  };
}

/** How often `event`'s callback was called, in `polls` polls that do not wait. */
function countCalls(event: AsyncEvent, polls: number): number {
  let calls = 0;
  addEvent(event, () => {
    calls += 1;
    return false;
  });
  for (let i = 0; i < polls; i++) poll(0);
  unregister(event);
  return calls;
}

/** What a program prints that runs in a process of its own, for what the collector does when it likes. */
function runScript(selector: SelectorKind, body: string): string {
  const script = `import { descriptorCount } from ${JSON.stringify(join(import.meta.dir, "descriptors.ts"))};
    import { addEvent, AsyncEvent, newAsyncEvent, poll } from ${JSON.stringify(join(import.meta.dir, "../src/index.ts"))};
    ${body}`;
  const env = { ...process.env, ASYNCDISPATCH_SELECTOR: selector };
  const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", script], { env, timeout: 10_000 });
  return `${stdout}${withoutWine(stderr)}`.trim();
}

/** Threads with one event, and the numbers that they share. */
class Team {
  readonly numbers = new Int32Array(new SharedArrayBuffer(4 * SharedPlace.length));
  private readonly workers: Worker[] = [];

  add(count: number, task: EventTask["task"], selector: SelectorKind, token: AsyncEventToken, times = 0): void {
    const shared = this.numbers.buffer as SharedArrayBuffer;
    const workerData: EventTask = { task, selector, token, shared, times };
    for (let i = 0; i < count; i++) {
      this.workers.push(new Worker(new URL("./event-worker.ts", import.meta.url), { workerData }));
    }
  }

  at(place: number): number {
    return Atomics.load(this.numbers, place);
  }

  /** Blocks this thread until a number is reached; the others go on. */
  waitUntil(place: number, number: number): void {
    const giveUp = performance.now() + 10_000;
    for (let now = this.at(place); now < number; now = this.at(place)) {
      if (performance.now() > giveUp) throw new Error(`place ${place} is ${now} after 10 s, not ${number}`);
      Atomics.wait(this.numbers, place, now, 100);
    }
  }

  /** Tells them to end, and waits for it. */
  async stop(): Promise<void> {
    Atomics.store(this.numbers, SharedPlace.stop, 1);
    await Promise.all(this.workers.map((worker) => once(worker, "exit")));
  }

  /** Ends them wherever they are. */
  async terminate(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}

/** Waits until no more descriptors are open than there were; a Worker's end takes its time. */
async function expectNoMoreDescriptors(before: number): Promise<void> {
  const giveUp = performance.now() + 5000;
  while (openDescriptors().length > before && performance.now() < giveUp) {
    Bun.gc(true);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(openDescriptors().length).toBeLessThanOrEqual(before);
}

onEachBackend((selector) => {
  test(
    "k triggers before a poll are one call",
    eventOf((event) => {
      for (let i = 0; i < 5; i++) event.trigger();
      expect(countCalls(event, 3)).toBe(1);
    }),
  );

  test(
    "a trigger while the event is not registered is remembered",
    eventOf((event) => {
      expect(countCalls(event, 1)).toBe(0);
      event.trigger();
      expect(countCalls(event, 2)).toBe(1);
    }),
  );

  test(
    "an event that is unregistered before the poll is not called, and keeps its trigger",
    eventOf((event) => {
      addEvent(event, () => expect.unreachable());
      event.trigger();
      unregister(event);
      expect(hasPendingOperations()).toBe(false);
      expect(countCalls(event, 1)).toBe(1);
    }),
  );

  test(
    "a callback that returns true unregisters the event, which can be registered again",
    eventOf((event) => {
      let calls = 0;
      for (let round = 1; round <= 2; round++) {
        addEvent(event, () => {
          calls += 1;
          return true;
        });
        event.trigger();
        poll(1000);
        expect(calls).toBe(round);
        expect(hasPendingOperations()).toBe(false);
        expect(getGlobalDispatcher().handles.size).toBe(0);
      }
    }),
  );

  test(
    "a callback that returns false keeps the event registered",
    eventOf((event) => {
      let calls = 0;
      addEvent(event, () => {
        calls += 1;
        return false;
      });
      for (let i = 1; i <= 3; i++) {
        event.trigger();
        poll(1000);
        expect(calls).toBe(i);
      }
      expect(activeDescriptors()).toBe(1);
    }),
  );

  test(
    "the callback gets the event's descriptor",
    eventOf((event) => {
      let fd: unknown;
      addEvent(event, (descriptor) => {
        fd = descriptor;
        return false;
      });
      event.trigger();
      poll(1000);
      expect([...getGlobalDispatcher().handles]).toEqual([fd as never]);
    }),
  );

  test(
    "the event is taken before its callback runs: a trigger inside it is seen by the next poll",
    eventOf((event) => {
      let calls = 0;
      addEvent(event, () => {
        if (++calls === 1) event.trigger();
        return false;
      });
      event.trigger();
      poll(1000);
      expect(calls).toBe(1);
      poll(1000);
      expect(calls).toBe(2);
    }),
  );

  test(
    "registering an event twice is refused",
    eventOf((event) => {
      addEvent(event, () => true);
      expectThrow(() => addEvent(event, () => true), AssertionDefect, ALREADY);
      using other = AsyncEvent.from(event.token);
      expectThrow(() => addEvent(other, () => true), AssertionDefect, ALREADY);
    }),
  );

  test(
    "unregistering an event that is not registered is refused",
    eventOf((event) => {
      expectThrow(() => unregister(event), AssertionDefect, NOT_REGISTERED);
      addEvent(event, () => true);
      event.unregister();
      expectThrow(() => event.unregister(), AssertionDefect, NOT_REGISTERED);
    }),
  );

  test("R10, Q14: closing a registered event leaves nothing pending, and its number can be used again", () => {
    const event = newAsyncEvent();
    addEvent(event, () => expect.unreachable());
    event.trigger();
    const [fd] = getGlobalDispatcher().handles;
    event.close();
    expect(hasPendingOperations()).toBe(false);
    expect(contains(fd as never)).toBe(false);
    // What gets the number next is registered and watched like any other; FIFOs are opened until one has it.
    const fifos = Array.from({ length: 8 }, () => openFifo());
    for (const fifo of fifos) {
      register(closeAfterTest(fifo));
      addRead(fifo, () => expect.unreachable());
    }
    poll(0);
    expect(activeDescriptors()).toBe(fifos.length);
  });

  test("Q14: closing is idempotent, and a closed event refuses to be used", () => {
    const event = newAsyncEvent();
    const { token } = event;
    event.close();
    event.close();
    expectThrow(() => event.trigger(), ValueError, CLOSED);
    expectThrow(() => addEvent(event, () => true), ValueError, CLOSED);
    expectThrow(() => unregister(event), AssertionDefect, NOT_REGISTERED);
    expectThrow(() => AsyncEvent.from(token), ValueError, CLOSED);
  });

  for (const answer of [true, false]) {
    test(`closing inside the callback, which returns ${answer}`, () => {
      const event = newAsyncEvent();
      addEvent(event, () => {
        event.close();
        return answer;
      });
      event.trigger();
      poll(1000);
      expect(hasPendingOperations()).toBe(false);
    });

    test(
      `unregistering inside the callback, which returns ${answer}`,
      eventOf((event) => {
        addEvent(event, () => {
          unregister(event);
          return answer;
        });
        event.trigger();
        poll(1000);
        expect(hasPendingOperations()).toBe(false);
        event.trigger();
        expect(countCalls(event, 1)).toBe(1);
      }),
    );

    test(
      `registering anew inside the callback, which returns ${answer}: the new callback stays`,
      eventOf((event) => {
        const log: string[] = [];
        addEvent(event, () => {
          log.push("old");
          unregister(event);
          addEvent(event, () => {
            log.push("new");
            return false;
          });
          return answer;
        });
        for (let i = 0; i < 3; i++) {
          event.trigger();
          poll(1000);
        }
        expect(log).toEqual(["old", "new", "new"]);
      }),
    );
  }

  test(
    "a callback that throws: the error leaves the poll, and the event stays registered",
    eventOf((event) => {
      let calls = 0;
      addEvent(event, () => {
        calls += 1;
        throw new Error("thrown inside");
      });
      for (let i = 1; i <= 2; i++) {
        event.trigger();
        expect(() => poll(1000)).toThrow("thrown inside");
        expect(calls).toBe(i);
        expect(activeDescriptors()).toBe(1);
      }
    }),
  );

  test(
    "a callback that polls inside itself does not lose the trigger that comes meanwhile",
    eventOf((event) => {
      let calls = 0;
      addEvent(event, () => {
        if (++calls === 1) {
          event.trigger();
          waitFor(sleepAsync(1));
        }
        return false;
      });
      event.trigger();
      poll(1000);
      poll(1000);
      expect(calls).toBe(2);
    }),
  );

  test("a registered event is called although nobody else holds it", () => {
    const output = runScript(
      selector,
      `const event = newAsyncEvent();
      let calls = 0;
      (() => addEvent(AsyncEvent.from(event.token), () => { calls += 1; return true; }))();
      for (let i = 0; i < 5; i++) Bun.gc(true);
      event.trigger();
      poll(1000);
      console.log(calls);`,
    );
    expect(output).toBe("1");
  });

  test(
    "one event in two dispatchers of a thread wakes one of them per trigger",
    eventOf((event) => {
      const first = getGlobalDispatcher();
      const second = newDispatcher({ selector });
      let calls = 0;
      const count = () => {
        calls += 1;
        return false;
      };
      addEvent(event, count);
      setGlobalDispatcher(second);
      addEvent(event, count);
      for (let i = 1; i <= 5; i++) {
        event.trigger();
        for (const dispatcher of [first, second]) dispatcher.poll(0);
        expect(calls).toBe(i);
      }
      event.close();
      expect([first.hasPendingOperations(), second.hasPendingOperations()]).toEqual([false, false]);
      setGlobalDispatcher(first);
      second.close();
    }),
  );

  test(
    "closing the dispatcher forgets the event, which can be used in another",
    eventOf((event) => {
      addEvent(event, () => expect.unreachable());
      getGlobalDispatcher().close();
      const next = newDispatcher({ selector });
      setGlobalDispatcher(next);
      event.trigger();
      expect(countCalls(event, 1)).toBe(1);
      next.close();
    }),
  );

  test(
    "a token is a plain object that survives a copy",
    eventOf((event) => {
      const token = structuredClone(event.token);
      expect(Object.getPrototypeOf(token)).toBe(Object.prototype);
      expect(token).toEqual(event.token);
      using other = AsyncEvent.from(JSON.parse(JSON.stringify(token)));
      other.trigger();
      expect(countCalls(event, 1)).toBe(1);
    }),
  );

  test(
    "an event lives until its last object is closed",
    eventOf((event) => {
      const other = AsyncEvent.from(event.token);
      event.close();
      other.trigger();
      expect(countCalls(other, 1)).toBe(1);
      other.close();
      expectThrow(() => AsyncEvent.from(event.token), ValueError, CLOSED);
    }),
  );

  test(
    "what is no token is refused",
    eventOf((event) => {
      for (const wrong of [undefined, null, 7, "event", {}, [], event, { ...event.token, index: "0" }]) {
        // An AsyncEvent is none either: it has no numbers of its own.
        expect(thrownBy(() => AsyncEvent.from(wrong as never))).toBeInstanceOf(TypeError);
      }
      for (const numbers of [{ index: -1 }, { index: 0.5 }, { generation: Number.NaN }, { generation: 2 ** 32 }]) {
        expect(thrownBy(() => AsyncEvent.from({ ...event.token, ...numbers }))).toBeInstanceOf(ValueError);
      }
      expectThrow(() => AsyncEvent.from({ ...event.token, generation: 0 }), ValueError, CLOSED);
      expectThrow(() => AsyncEvent.from({ ...event.token, index: 2 ** 32 - 1 }), ValueError, CLOSED);
      expectThrow(() => AsyncEvent.from({ ...event.token, pid: 1 }), ValueError, "The event belongs to the process 1");
    }),
  );

  test(
    "what is no event or no callback is refused",
    eventOf((event) => {
      expect(thrownBy(() => addEvent(event.token as never, () => true))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => addEvent(event, undefined as never))).toBeInstanceOf(TypeError);
      expect(thrownBy(() => unregister(event.token as never))).toBeInstanceOf(TypeError);
    }),
  );

  test("a collected event gives its descriptor back", () => {
    const output = runScript(
      selector,
      `const before = descriptorCount();
      (() => { for (let i = 0; i < 200; i++) newAsyncEvent(); })();
      // What the stack still seems to point at is not collected.
      for (let i = 0; i < 100 && descriptorCount() > before + 20; i++) {
        Bun.gc(true);
        await new Promise((resolve) => setImmediate(resolve));
      }
      console.log(descriptorCount() <= before + 20);`,
    );
    expect(output).toBe("true");
  });

  test(
    "a Worker wakes the thread that registered the event",
    eventOf(async (event) => {
      const team = new Team();
      let calls = 0;
      addEvent(event, () => {
        calls += 1;
        return true;
      });
      team.add(1, "trigger", selector, event.token, 1);
      poll(10_000);
      expect(calls).toBe(1);
      await team.stop();
    }),
  );

  test(
    "one event in eight Workers wakes exactly one of them per trigger",
    eventOf(async (event) => {
      const team = new Team();
      team.add(8, "take", selector, event.token);
      team.waitUntil(SharedPlace.ready, 8);
      const times = 200;
      for (let i = 1; i <= times; i++) {
        event.trigger();
        team.waitUntil(SharedPlace.taken, i);
      }
      await team.stop();
      expect(team.at(SharedPlace.taken)).toBe(times);
    }),
  );

  test(
    "R19: of 1000 triggers each from four Workers, the last one is never lost",
    eventOf(async (event) => {
      const team = new Team();
      const all = 4 * 1000;
      let calls = 0;
      let seen = 0;
      addEvent(event, () => {
        calls += 1;
        seen = team.at(SharedPlace.triggered);
        return false;
      });
      team.add(4, "trigger", selector, event.token, 1000);
      // Every number was counted before its trigger: the call after the last trigger sees all of them.
      for (let giveUp = performance.now() + 10_000; seen < all && performance.now() < giveUp; ) poll(1000);
      expect(seen).toBe(all);
      expect(calls).toBeGreaterThanOrEqual(1);
      expect(calls).toBeLessThanOrEqual(all);
      await team.stop();
    }),
  );

  test(
    "a trigger counts although the Worker that gave it has been terminated",
    eventOf(async (event) => {
      const team = new Team();
      team.add(1, "trigger", selector, event.token, 1);
      team.waitUntil(SharedPlace.ready, 1);
      await team.terminate();
      expect(countCalls(event, 1)).toBe(1);
    }),
  );

  test("Workers that are terminated while they hold events, processes and signals leave no descriptor behind", async () => {
    const before = openDescriptors().length;
    const event = newAsyncEvent();
    for (let round = 0; round < 3; round++) {
      const team = new Team();
      team.add(3, "hold", selector, event.token);
      team.waitUntil(SharedPlace.ready, 3);
      await team.terminate();
    }
    const { token } = event;
    event.close();
    await expectNoMoreDescriptors(before);
    expectThrow(() => AsyncEvent.from(token), ValueError, CLOSED);
  });
});
