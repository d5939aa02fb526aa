import { describe, expect, test } from "bun:test";
import {
  type AsyncFD,
  addRead,
  addTimer,
  async,
  asyncCheck,
  callSoon,
  drain,
  getGlobalDispatcher,
  hasPendingOperations,
  newDispatcher,
  poll,
  recv,
  send,
  sleepAsync,
} from "../src/index.ts";
import { emptyFifo, isWindows, onEachBackend, readableFifo, writeTo } from "./backends.ts";
import { waitFor } from "./bounded.ts";
import { aWhile, called, hostedPair } from "./bunloop-helper.ts";

/** Resolves with what `body` gives in a callback of Bun's loop. */
function inBunsTimer<R>(body: () => R): Promise<R> {
  return new Promise((resolve, reject) => {
    setTimeout(() => {
      try {
        resolve(body());
      } catch (error) {
        reject(error);
      }
    }, 1);
  });
}

/** As {@link inBunsTimer}, in a callback that Bun's loop has the dispatcher call. */
function inHostedCallback<R>(body: () => R): Promise<R> {
  return new Promise((resolve, reject) => {
    addTimer(1, true, () => {
      try {
        resolve(body());
      } catch (error) {
        reject(error);
      }
      return true;
    });
  });
}

/** Sends a message to and fro, and gives what came back. */
const roundTrip = async(async function roundTrip([here, there]: [AsyncFD, AsyncFD], message: string) {
  await send(here, message);
  await send(there, await recv(there, 100));
  return (await recv(here, 100)).toString();
});

onEachBackend((selector) => {
  const places = { "a timer of Bun": inBunsTimer, "a hosted callback": inHostedCallback };
  describe.each(Object.entries(places))("in %s", (_, inPlace) => {
    test("waitFor waits for what was pending already", async () => {
      const [here, there] = await hostedPair();
      const received = recv(there, 100);
      const text = await inPlace(() => {
        asyncCheck(send(here, "hello"));
        return waitFor(received).toString();
      });
      expect(text).toBe("hello");
      await sleepAsync(1);
    });

    test("waitFor waits for what begins in it", async () => {
      const pair = await hostedPair();
      expect(await inPlace(() => waitFor(roundTrip(pair, "hello")))).toBe("hello");
      expect(await roundTrip(pair, "after it")).toBe("after it");
    });

    test("poll(0) serves what is ready", async () => {
      const fifo = emptyFifo();
      let calls = 0;
      addRead(fifo, () => {
        calls += 1;
        return true;
      });
      const seen = await inPlace(() => {
        writeTo(fifo, "x");
        // A completion port tells of it a moment later.
        poll(isWindows ? 1000 : 0);
        return calls;
      });
      expect(seen).toBe(1);
      await aWhile();
      expect(calls).toBe(1);
    });

    test("drain runs all that is pending", async () => {
      const log: number[] = [];
      for (const ms of [60, 20, 40]) {
        addTimer(ms, true, () => {
          log.push(ms);
          return true;
        });
      }
      await inPlace(() => drain(1000));
      expect(log).toEqual([20, 40, 60]);
    });
  });

  test("waitFor in a handler of Bun.serve", async () => {
    const pair = await hostedPair();
    using server = Bun.serve({
      port: 0,
      fetch: (request) => new Response(waitFor(roundTrip(pair, new URL(request.url).search))),
    });
    for (const query of ["?a", "?b", "?c"]) {
      expect(await (await fetch(server.url + query)).text()).toBe(query);
      expect(await roundTrip(pair, query)).toBe(query);
    }
  });

  test("waitFor in a hosted callback of a descriptor", async () => {
    const pair = await hostedPair();
    const fifo = readableFifo();
    let answer = "";
    await called((callback) =>
      addRead(fifo, (fd) => {
        answer = waitFor(roundTrip(pair, "hello"));
        return callback(fd);
      }),
    );
    expect(answer).toBe("hello");
    expect(await roundTrip(pair, "after it")).toBe("after it");
  });

  test("waitFor after an await in a native procedure", async () => {
    const pair = await hostedPair();
    await sleepAsync(1);
    expect(waitFor(roundTrip(pair, "hello"))).toBe("hello");
    expect(await roundTrip(pair, "after it")).toBe("after it");
  });

  test("waitFor inside waitFor inside a hosted callback, twenty deep", async () => {
    const deeper = async(async function deeper(depth: number): Promise<number> {
      await sleepAsync(0.1);
      return nested(depth);
    });
    const nested = (depth: number): number => (depth === 0 ? 0 : 1 + waitFor(deeper(depth - 1)));
    expect(await inHostedCallback(() => nested(20))).toBe(20);
    await sleepAsync(1);
  });

  test("what one event's round has not served yet, a blocking call in its first callback serves", async () => {
    const fifos = Array.from({ length: 5 }, readableFifo);
    const calls = new Map<AsyncFD, number>();
    let inFirst = 0;
    for (const fifo of fifos) {
      addRead(fifo, (fd) => {
        calls.set(fd, (calls.get(fd) ?? 0) + 1);
        if (calls.size > 1) return true;
        waitFor(sleepAsync(1));
        inFirst = calls.size;
        return true;
      });
    }
    await aWhile();
    expect(inFirst).toBe(fifos.length);
    expect([...calls.values()]).toEqual(fifos.map(() => 1));
  });

  test("a bell that rings during a blocking call does no harm after it", async () => {
    const [here, there] = await hostedPair();
    const received = recv(there, 100);
    await sleepAsync(1);
    // The thread rings for these bytes, while the poll takes them.
    writeTo(here, "hello");
    Bun.sleepSync(5);
    poll(isWindows ? 1000 : 0);
    expect(received.finished).toBe(true);
    const next = recv(there, 100);
    await aWhile();
    expect(next.finished).toBe(false);
    writeTo(here, "again");
    expect((await next).toString()).toBe("again");
  });

  test("another attached dispatcher goes on after a blocking call of the global one", async () => {
    const own = newDispatcher({ selector });
    own.attach();
    const ran = new Promise<void>((resolve) => own.callSoon(() => void sleepAsync(2).then(resolve)));
    waitFor(sleepAsync(5));
    await ran;
    own.close();
  });

  test("hosted timers that come due during a blocking call fire in it, and not again", async () => {
    let calls = 0;
    addTimer(2, true, () => {
      calls += 1;
      return true;
    });
    await inBunsTimer(() => waitFor(sleepAsync(5)));
    expect(calls).toBe(1);
    await aWhile();
    expect(calls).toBe(1);
  });

  test("two hundred rounds of blocking and hosted work, mixed, lose nothing", async () => {
    const pairs = [await hostedPair(), await hostedPair(), await hostedPair()] as const;
    const background: string[] = [];
    const other = async(function* other() {
      const [here, there] = pairs[1];
      for (let i = 0; i < 200; i++) {
        yield* send(here, `${i} `);
        background.push((yield* recv(there, 100)).toString());
        if (i % 10 === 0) yield* sleepAsync(0.3);
      }
    })();
    const ways: ((message: string) => string | PromiseLike<string>)[] = [
      (message) => roundTrip(pairs[0], message),
      (message) => waitFor(roundTrip(pairs[0], message)),
      (message) => inBunsTimer(() => waitFor(roundTrip(pairs[0], message))),
      (message) => inHostedCallback(() => waitFor(roundTrip(pairs[0], message))),
      (message) =>
        inBunsTimer(() => {
          if (hasPendingOperations()) poll(0);
          return message;
        }),
      (message) => inHostedCallback(() => waitFor(async(async () => waitFor(roundTrip(pairs[2], message)))())),
      (message) => new Promise((resolve) => callSoon(() => resolve(waitFor(roundTrip(pairs[2], message))))),
      (message) => waitFor(sleepAsync(0.2)) ?? message,
    ];
    for (let i = 0; i < 200; i++) {
      const way = ways[(i * 3) % ways.length] as (typeof ways)[number];
      expect(await way(`message ${i}`)).toBe(`message ${i}`);
    }
    await other;
    expect(background.join("")).toBe(Array.from({ length: 200 }, (_, i) => `${i} `).join(""));
    expect(getGlobalDispatcher().statistics()).toMatchObject({ waiters: 0, pendingTimers: 0 });
  });
});
