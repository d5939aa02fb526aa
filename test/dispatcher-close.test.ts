import { expect, test } from "bun:test";
import {
  AssertionDefect,
  async,
  asyncCheck,
  callSoon,
  dial,
  type Future,
  getGlobalDispatcher,
  newDispatcher,
  poll,
  recv,
  setGlobalDispatcher,
  sleepAsync,
  ValueError,
  waitFor,
} from "../src/index.ts";
import { connectedPair, emptyFifo, expectThrow, onEachBackend, openFifo, readFrom, writeTo } from "./backends.ts";

const CLOSED = "The dispatcher is closed.";
const CANCELED = { name: "OSError", code: "ECANCELED" };

onEachBackend((selector) => {
  test("Q24: close fails an outstanding recv with ECANCELED", () => {
    const [a] = connectedPair();
    const received = recv(a, 10);
    getGlobalDispatcher().close();
    expect(received.error).toMatchObject(CANCELED);
  });

  test("close does not throw the ECANCELED of a lookup that was passed to asyncCheck", () => {
    asyncCheck(dial("localhost", 9));
    getGlobalDispatcher().close();
  });

  test("what promise reactions begin while another dispatcher is closed is the global one's", async () => {
    const begin = async (): Promise<string> => {
      await null;
      await sleepAsync(1);
      return "done";
    };
    const begun = begin();
    newDispatcher({ selector }).close();
    expect(await begun).toBe("done");
  });

  test("Q24: close fails sleepers with ECANCELED", () => {
    const sleepers = [sleepAsync(60_000), sleepAsync(0)];
    getGlobalDispatcher().close();
    for (const sleeper of sleepers) expect(sleeper.error).toMatchObject(CANCELED);
  });

  test("Q24: close runs the finally blocks of asynchronous procedures", () => {
    const log: string[] = [];
    const inner = async(function* () {
      try {
        yield* sleepAsync(60_000);
      } finally {
        log.push("inner");
      }
    });
    const outer = async(function* () {
      try {
        yield* inner();
      } finally {
        log.push("outer");
      }
    });
    const future = outer();
    getGlobalDispatcher().close();
    expect(log).toEqual(["inner", "outer"]);
    expect(future.error).toMatchObject(CANCELED);
  });

  test("Q24: close runs the finally blocks of native async functions", () => {
    let ran = false;
    const sleeper = async (): Promise<void> => {
      try {
        await sleepAsync(60_000);
      } finally {
        ran = true;
      }
    };
    sleeper().catch(() => {});
    getGlobalDispatcher().close();
    expect(ran).toBe(true);
  });

  test("Q24: close runs the finally blocks of thousands of nested procedures", () => {
    let ran = 0;
    const nested = async(function* (depth: number): Generator<Future<void>, void> {
      try {
        yield* depth === 0 ? sleepAsync(60_000) : nested(depth - 1);
      } finally {
        ran += 1;
      }
    });
    for (let i = 0; i < 1000; i++) nested(4);
    getGlobalDispatcher().close();
    expect(ran).toBe(5000);
  });

  test("Q24: close is idempotent", () => {
    const dispatcher = getGlobalDispatcher();
    dispatcher.close();
    dispatcher.close();
  });

  test("Q24: disposing of a dispatcher closes it", () => {
    const dispatcher = newDispatcher({ selector });
    dispatcher[Symbol.dispose]();
    expectThrow(() => dispatcher.poll(), ValueError, CLOSED);
  });

  test("Q24: close leaves registered descriptors open and forgets them", () => {
    const dispatcher = getGlobalDispatcher();
    const fd = emptyFifo();
    dispatcher.close();
    writeTo(fd, "x");
    expect(readFrom(fd, new Uint8Array(1))).toBe(1);
    expect(dispatcher.handles.size).toBe(0);
  });

  test("Q24: using a closed dispatcher raises a ValueError", () => {
    const dispatcher = getGlobalDispatcher();
    const fd = openFifo();
    dispatcher.close();
    expectThrow(() => dispatcher.poll(), ValueError, CLOSED);
    expectThrow(() => dispatcher.callSoon(() => {}), ValueError, CLOSED);
    expectThrow(() => dispatcher.register(fd), ValueError, CLOSED);
    setGlobalDispatcher(dispatcher);
    expectThrow(() => sleepAsync(0), ValueError, CLOSED);
  });

  test("Q24: closing a dispatcher inside its own poll raises an AssertionDefect", () => {
    const dispatcher = getGlobalDispatcher();
    callSoon(() => dispatcher.close());
    expectThrow(() => poll(), AssertionDefect, "A dispatcher cannot be closed inside its own poll");
    waitFor(sleepAsync(0));
  });

  test("Q24: another dispatcher can be closed inside a poll", () => {
    const other = newDispatcher({ selector });
    callSoon(() => other.close());
    poll();
    expectThrow(() => other.poll(), ValueError, CLOSED);
    expect(getGlobalDispatcher()).not.toBe(other);
  });

  test("Q24: what a callback throws leaves close once everything is released", () => {
    const dispatcher = getGlobalDispatcher();
    callSoon(() => {
      throw new Error("thrown during close");
    });
    expectThrow(() => dispatcher.close(), Error, "thrown during close");
    expectThrow(() => dispatcher.poll(), ValueError, CLOSED);
  });

  test("Q24: after one callback throws during close, the others still run", () => {
    const dispatcher = getGlobalDispatcher();
    let ran = false;
    callSoon(() => {
      throw new Error("thrown during close");
    });
    callSoon(() => {
      ran = true;
    });
    expectThrow(() => dispatcher.close(), Error, "thrown during close");
    expect(ran).toBe(true);
  });

  test("Q24: after the global dispatcher was closed, a new one is made on next use", () => {
    const closed = getGlobalDispatcher();
    closed.close();
    using next = getGlobalDispatcher();
    expect(next).not.toBe(closed);
    waitFor(sleepAsync(0));
  });
});
