import { describe, expect, test } from "bun:test";
import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import {
  type AsyncFD,
  addEvent,
  addProcess,
  addRead,
  addSignal,
  addTimer,
  addWrite,
  async,
  asyncCheck,
  callSoon,
  dial,
  newAsyncEvent,
  recv,
  send,
  sleepAsync,
  waitProcess,
} from "../src/index.ts";
import { closeAfterTest, describeEach, emptyFifo, isWindows, listener, onEachBackend, writeTo } from "./backends.ts";
import { aWhile, called, hostedPair, runProgram } from "./bunloop-helper.ts";
import { exiting, tellsOfReaped } from "./children.ts";
import { type EventTask, SharedPlace } from "./event-worker.ts";

/** Sends back what comes, until the end. */
const echo = async(function* echo(socket: AsyncFD) {
  for (;;) {
    const data = yield* recv(socket, 4096);
    if (data.length === 0) return;
    yield* send(socket, data);
  }
});

onEachBackend((selector) => {
  describe("without a blocking call", () => {
    test("dial, accept, send and recv go on while they are awaited", async () => {
      const [here, there] = await hostedPair();
      await send(here, "hello");
      expect((await recv(there, 100)).toString()).toBe("hello");
    });

    test("a name is looked up", async () => {
      const { port } = listener();
      expect(closeAfterTest(await dial("localhost", port))).toBeGreaterThan(0);
    });

    test("a generator procedure goes on", async () => {
      const [here, there] = await hostedPair();
      asyncCheck(echo(there));
      for (const word of ["one", "two", "three"]) {
        await send(here, word);
        expect((await recv(here, 100)).toString()).toBe(word);
      }
    });

    test("sleepAsync ends", async () => {
      await sleepAsync(1);
    });

    test("the callback of addRead is called", async () => {
      const fifo = emptyFifo();
      const ready = called((callback) => addRead(fifo, callback));
      setTimeout(() => writeTo(fifo, "x"), 1);
      expect(await ready).toBe(fifo);
    });

    test("the callback of addWrite is called", async () => {
      const fifo = emptyFifo();
      expect(await called((callback) => addWrite(fifo, callback))).toBe(fifo);
    });

    test("the callback of addTimer is called", async () => {
      await called((callback) => addTimer(1, true, callback));
    });

    test("the callback of addProcess is called, and waitProcess ends", async () => {
      const { pid } = Bun.spawn(exiting(3));
      const [, { exitCode }] = await Promise.all([called((callback) => addProcess(pid, callback)), waitProcess(pid)]);
      expect(tellsOfReaped ? [3] : [3, null]).toContain(exitCode);
    });

    test.skipIf(isWindows)(
      "the callback of addSignal is called (skipped on Windows, which has no signals)",
      async () => {
        const came = called((callback) => addSignal("SIGUSR2", callback));
        setTimeout(() => process.kill(process.pid, "SIGUSR2"), 1);
        await came;
      },
    );

    test("the callback of addEvent is called", async () => {
      using event = newAsyncEvent();
      const came = called((callback) => addEvent(event, callback));
      setTimeout(() => event.trigger(), 1);
      await came;
    });

    test("a trigger in a Worker wakes this thread", async () => {
      using event = newAsyncEvent();
      const came = called((callback) => addEvent(event, callback));
      const shared = new SharedArrayBuffer(4 * SharedPlace.length);
      const workerData: EventTask = { task: "trigger", selector, token: event.token, shared, times: 1 };
      const worker = new Worker(new URL("./event-worker.ts", import.meta.url), { workerData });
      const ended = once(worker, "exit");
      await came;
      await ended;
    });

    test("callSoon runs its callback later, not at once", async () => {
      const log: string[] = [];
      const done = new Promise<void>((resolve) => {
        callSoon(() => {
          log.push("callback");
          resolve();
        });
      });
      log.push("after callSoon");
      await done;
      expect(log).toEqual(["after callSoon", "callback"]);
    });

    test("callSoon works in a timer of Bun", async () => {
      await new Promise<void>((resolve) => setTimeout(() => callSoon(resolve), 1));
    });
  });

  test("handlers of Bun.serve use it beside fetch and setInterval, and all of them get on", async () => {
    const [here, there] = await hostedPair();
    asyncCheck(echo(there));
    let ticks = 0;
    const interval = setInterval(() => {
      ticks += 1;
    }, 1);
    using server = Bun.serve({
      port: 0,
      async fetch(request) {
        await send(here, new URL(request.url).search);
        return new Response(await recv(here, 100));
      },
    });
    for (let i = 0; i < 50 || ticks < 10; i++) {
      const response = await fetch(`${server.url}?${i}`);
      expect(await response.text()).toBe(`?${i}`);
    }
    clearInterval(interval);
  });

  test("a hundred connections at once get all their bytes, beside a hundred fetches", async () => {
    using server = Bun.serve({ port: 0, fetch: () => new Response("served") });
    const talk = async (i: number) => {
      const [here, there] = await hostedPair();
      asyncCheck(echo(there));
      const message = String(i).repeat(2000);
      await send(here, message);
      let answer = "";
      while (answer.length < message.length) answer += await recv(here, 4096);
      return answer === message;
    };
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    const talks = Promise.all(numbers.map(talk));
    const fetched = Promise.all(numbers.map(async () => (await fetch(server.url)).text()));
    expect(new Set(await talks)).toEqual(new Set([true]));
    expect(new Set(await fetched)).toEqual(new Set(["served"]));
  });

  test("a callback does not run in the async context of whoever woke the loop", async () => {
    const storage = new AsyncLocalStorage<string>();
    const fifo = emptyFifo();
    let context: string | undefined = "not called";
    const came = called((callback) =>
      addRead(fifo, (fd) => {
        context = storage.getStore();
        return callback(fd);
      }),
    );
    await aWhile();
    storage.run("of another", () => callSoon(() => {}));
    writeTo(fifo, "x");
    await came;
    expect(context).toBeUndefined();
  });

  test("a callback does not run in the async context of who began the first operation of the process", () => {
    const outcome = runProgram(
      selector,
      `import { AsyncLocalStorage } from "node:async_hooks";
      const storage = new AsyncLocalStorage();
      storage.run("of the first", () => addTimer(1, true, () => true));
      await Bun.sleep(5);
      addTimer(1, true, () => { console.log(storage.getStore()); return true; });`,
    );
    expect(outcome).toMatchObject({ stdout: "undefined", stderr: "" });
  });

  const scripts: Record<string, string> = {
    "await dial, accept, recv": `
      const { socket, port } = listener();
      const dialled = dial("127.0.0.1", port);
      const peer = await accept(socket);
      await send(await dialled, "done");
      console.log(String(await recv(peer, 100)));`,
    "await sleepAsync": `await sleepAsync(5); console.log("done");`,
    addRead: `
      const [here, there] = connectedPair();
      addRead(there, () => { console.log("done"); return true; });
      setTimeout(() => send(here, "x"), 5);`,
    addTimer: `addTimer(5, true, () => { console.log("done"); return true; });`,
    addProcess: `
      const child = Bun.spawn(sleeping(10));
      child.unref();
      addProcess(child.pid, () => { console.log("done"); return true; });`,
    addSignal: `
      addSignal("SIGUSR2", () => { console.log("done"); return true; });
      setTimeout(() => process.kill(process.pid, "SIGUSR2"), 5);`,
    addEvent: `
      const event = newAsyncEvent();
      addEvent(event, () => { console.log("done"); return true; });
      setTimeout(() => event.trigger(), 5);`,
    callSoon: `callSoon(() => console.log("done"));`,
    "setTimeout and callSoon": `setTimeout(() => callSoon(() => console.log("done")), 5);`,
    "a future's then": `sleepAsync(5).then(() => console.log("done"));`,
    "an async generator procedure": `
      asyncCheck(async(function* () { yield* sleepAsync(5); console.log("done"); })());`,
  };
  describeEach("a plain script with nothing but", scripts, (script) => {
    test("works and ends", () => {
      expect(runProgram(selector, script)).toEqual({ stdout: "done", stderr: "", exitCode: 0 });
    });
  });
});
