import { describe, expect, spyOn, test } from "bun:test";
import { getEventListeners } from "node:events";
import {
  type AsyncFD,
  accept,
  acceptAddr,
  all,
  async,
  CancelledError,
  closeSocket,
  connect,
  createAsyncNativeSocket,
  dial,
  drain,
  type Future,
  getGlobalDispatcher,
  hasPendingOperations,
  newDispatcher,
  newFuture,
  or,
  poll,
  recv,
  recvInto,
  send,
  sleepAsync,
  waitFor,
  withTimeout,
} from "../src/index.ts";
import { socket as native } from "../src/native/socket.ts";
import { connectedPair, listener, onEachBackend, thrownBy } from "./backends.ts";

function expectCancelled(future: Future<unknown>, reason?: unknown): void {
  const error = thrownBy(() => waitFor(future)) as CancelledError;
  expect(error).toBeInstanceOf(CancelledError);
  expect(error.message).toBe("Future operation cancelled!");
  expect(error.cause).toBe(reason);
  expect(future.cancelled).toBe(true);
}

onEachBackend(() => {
  test("cancelling a recv fails it and leaves the bytes in the socket", () => {
    const [a, b] = connectedPair();
    const first = recv(a, 100);
    expect(first.cancel("why")).toBe(true);
    expectCancelled(first, "why");
    waitFor(send(b, "hello"));
    expect(waitFor(recv(a, 100)).toString()).toBe("hello");
  });

  test("cancelling the first of two recvs leaves the second its turn", () => {
    const [a, b] = connectedPair();
    const first = recv(a, 100);
    const second = recv(a, 100);
    first.cancel();
    waitFor(send(b, "hello"));
    expect(waitFor(second).toString()).toBe("hello");
  });

  test("cancelling the last of two recvs leaves the first and those added later", () => {
    const [a, b] = connectedPair();
    const first = recv(a, 2);
    recv(a, 2).cancel();
    const third = recv(a, 2);
    waitFor(send(b, "1234"));
    expect(waitFor(first).toString()).toBe("12");
    expect(waitFor(third).toString()).toBe("34");
  });

  test("a cancelled recv is no pending operation", () => {
    const [a] = connectedPair();
    recv(a, 100).cancel();
    expect(hasPendingOperations()).toBe(false);
  });

  test("cancelling recvInto leaves the buffer alone", () => {
    const [a, b] = connectedPair();
    const buffer = Buffer.alloc(5, "-");
    recvInto(a, buffer).cancel();
    waitFor(send(b, "hello"));
    expect(buffer.toString()).toBe("-----");
    expect(waitFor(recv(a, 100)).toString()).toBe("hello");
  });

  test("cancelling an accept leaves the connection to the next one", () => {
    const { socket, port } = listener();
    accept(socket).cancel();
    acceptAddr(socket).cancel();
    const next = accept(socket);
    const client = waitFor(dial("127.0.0.1", port));
    closeSocket(waitFor(next));
    closeSocket(client);
  });

  test("cancelling a blocked send leaves the later ones their turn", () => {
    const [a, b] = connectedPair();
    const block = Buffer.alloc(32 * 1024 * 1024, "x");
    const blocked = send(a, block);
    expect(blocked.finished).toBe(false);
    blocked.cancel();
    expectCancelled(blocked);
    const last = send(a, "end");
    let received = "";
    while (!received.endsWith("end")) received = waitFor(recv(b, 524_288)).toString().slice(-3);
    waitFor(last);
  });

  test("cancelling a finished future does nothing", () => {
    const [a, b] = connectedPair();
    waitFor(send(b, "hello"));
    const received = recv(a, 100);
    poll();
    expect(received.cancel()).toBe(false);
    expect(received.read().toString()).toBe("hello");
    expect(received.cancelled).toBe(false);
  });

  test("a future of newFuture cannot be cancelled", () => {
    const future = newFuture();
    expect(future.cancel()).toBe(false);
    expect(future.finished).toBe(false);
  });

  test("cancelling a sleep takes its timer out of the heap", () => {
    const sleep = sleepAsync(60_000);
    expect(sleep.cancel()).toBe(true);
    expectCancelled(sleep);
    expect(getGlobalDispatcher().statistics().pendingTimers).toBe(0);
  });

  test("cancelling a dial leaves no descriptor", () => {
    const dialled = dial("localhost", 1);
    expect(dialled.cancel()).toBe(true);
    expectCancelled(dialled);
    expect(getGlobalDispatcher().activeDescriptors()).toBe(0);
  });

  test("cancelling a dial in a poll of another dispatcher leaves no descriptor", () => {
    const dispatcher = getGlobalDispatcher();
    const future = dial("127.0.0.1", listener().port);
    const other = newDispatcher();
    other.callSoon(() => future.cancel("why"));
    other.poll(0);
    other.close();
    expectCancelled(future, "why");
    expect(dispatcher.handles.size).toBe(1);
  });

  test("cancelling a dial takes its lookup back from the threads", () => {
    const cancelled = spyOn(native, "resolver_cancel");
    try {
      dial("localhost", 1).cancel();
      expect(cancelled).toHaveBeenCalledTimes(1);
    } finally {
      cancelled.mockRestore();
    }
  });

  test("cancelling a connect during its lookup leaves the socket unconnected", () => {
    const { port } = listener();
    const socket = createAsyncNativeSocket();
    const connecting = connect(socket, "localhost", port);
    connecting.cancel();
    expectCancelled(connecting);
    waitFor(connect(socket, "127.0.0.1", port));
    closeSocket(socket);
  });

  describe("procedures", () => {
    test("cancelling one cancels what it awaits and runs its finally blocks", () => {
      const log: string[] = [];
      const sleep = sleepAsync(60_000);
      const proc = async(function* () {
        try {
          yield* sleep;
        } finally {
          yield* sleepAsync(0);
          log.push("cleaned up");
        }
      });
      const future = proc();
      expect(future.cancel("stop")).toBe(true);
      expectCancelled(future, "stop");
      expect(sleep.cancelled).toBe(true);
      expect(log).toEqual(["cleaned up"]);
      expect(hasPendingOperations()).toBe(false);
    });

    test("the cancellation reaches the innermost of nested procedures", () => {
      const log: string[] = [];
      const nested: (depth: number) => Future<void> = async(function* (depth: number) {
        try {
          yield* depth === 0 ? sleepAsync(60_000) : nested(depth - 1);
        } finally {
          log.push(`level ${depth}`);
        }
      });
      const future = nested(2);
      future.cancel();
      expectCancelled(future);
      expect(log).toEqual(["level 0", "level 1", "level 2"]);
    });

    test("one that awaits what cannot be cancelled stops waiting", () => {
      const never = newFuture();
      const proc = async(function* () {
        yield* never;
      });
      const future = proc();
      expect(future.cancel("stop")).toBe(true);
      expectCancelled(future, "stop");
      expect(never.finished).toBe(false);
      never.complete();
      drain(10);
    });

    test("a value that was on its way is delivered before the cancellation", () => {
      const [a, b] = connectedPair();
      const received: string[] = [];
      const proc = async(function* () {
        received.push((yield* recv(a, 100)).toString());
        yield* sleepAsync(60_000);
      });
      const future = proc();
      waitFor(send(b, "hello"));
      // The future of recv is finished by now, and the procedure is queued to be resumed.
      const arrived = recv(a, 1);
      while (received.length === 0 && !future.finished) {
        poll();
        future.cancel();
      }
      expectCancelled(future);
      expect(received).toEqual(["hello"]);
      arrived.cancel();
    });

    test("one that catches the CancelledError goes on", () => {
      const proc = async(function* () {
        try {
          yield* sleepAsync(60_000);
        } catch (error) {
          return error;
        }
        return undefined;
      });
      const future = proc();
      future.cancel();
      expect(waitFor(future)).toBeInstanceOf(CancelledError);
      expect(future.cancelled).toBe(false);
    });

    test("one that is cancelled while it runs is cancelled at its next await", () => {
      let self: Future<void> | undefined;
      const proc = async(function* () {
        yield* sleepAsync(0);
        self?.cancel("by itself");
        yield* sleepAsync(60_000);
      });
      self = proc();
      expectCancelled(self, "by itself");
    });

    test("cancelling one twice cancels it once", () => {
      const never = newFuture();
      const proc = async(function* () {
        yield* never;
      });
      const future = proc();
      future.cancel("first");
      future.cancel("second");
      expectCancelled(future, "first");
    });

    test("a second cancellation that comes before the body was told of the first leaves its finally block alone", () => {
      let isCleanedUp = false;
      const proc = async(function* () {
        try {
          yield* sleepAsync(60_000);
        } finally {
          yield* sleepAsync(1);
          isCleanedUp = true;
        }
      });
      const future = proc();
      future.cancel("first");
      future.cancel("second");
      expectCancelled(future, "first");
      expect(isCleanedUp).toBe(true);
    });

    test("procedures whose finally blocks cancel all of them, themselves included, end once", () => {
      const job = newFuture();
      const workers: Future<void>[] = [];
      const worker = async(function* () {
        try {
          yield* job;
        } finally {
          for (const each of workers) each.cancel();
        }
      });
      workers.push(worker(), worker());
      workers[0]?.cancel("stop");
      expectCancelled(workers[0] as Future<void>, "stop");
      expectCancelled(workers[1] as Future<void>);
    });

    test("one at the end of a long chain is cancelled from its beginning", () => {
      const wait = async(function* (future: Future<void>) {
        yield* future;
      });
      let future = sleepAsync(60_000);
      for (let i = 0; i < 50_000; i++) future = wait(future);
      future.cancel("enough");
      expectCancelled(future, "enough");
    });

    test("one that waits for itself is ended by its cancellation", () => {
      let future: Future<void> | undefined;
      const proc = async(function* (): Generator<Future<void>, void> {
        yield* sleepAsync(0);
        yield* future as Future<void>;
      });
      future = proc();
      poll();
      future.cancel("enough");
      poll(0);
      expectCancelled(future, "enough");
    });

    test("one that cancels itself and then waits for itself is ended by that", () => {
      let self: Future<void> | undefined;
      const proc = async(function* (): Generator<Future<void>, void> {
        yield* sleepAsync(0);
        self?.cancel("enough");
        yield* self as Future<void>;
      });
      self = proc();
      expectCancelled(self, "enough");
    });

    test.each([
      [
        "yields it",
        (wait: Future<void>) =>
          (function* () {
            yield wait;
          })(),
      ],
      [
        "catches its error",
        (wait: Future<void>) =>
          (function* () {
            try {
              yield* wait;
            } catch {}
          })(),
      ],
    ])("one whose wait somebody else has cancelled, and that %s, is cancelled at its next await", (_what, first) => {
      const wait = sleepAsync(60_000);
      const proc = async(function* () {
        yield* first(wait);
        yield* sleepAsync(60_000);
      });
      const future = proc();
      wait.cancel("by somebody else");
      future.cancel("stop");
      expectCancelled(future, "stop");
    });

    test("two that share a wait and are both cancelled both end, although they catch what the wait fails with", () => {
      const wait = sleepAsync(60_000);
      const proc = async(function* () {
        yield wait;
        yield* sleepAsync(60_000);
      });
      const futures = [proc(), proc()] as const;
      for (const future of futures) future.cancel("stop");
      // Of the first, the wait's end is what tells it.
      drain(0);
      expectCancelled(futures[1], "stop");
      futures[0].cancel("stop");
      expectCancelled(futures[0], "stop");
    });

    test("the cancellation reaches the outer procedure when the inner one ends without a further await", () => {
      const value = newFuture<string>();
      const received: string[] = [];
      const inner = async(function* () {
        return yield* value;
      });
      const middle = async(function* () {
        return yield* inner();
      });
      const outer = async(function* () {
        received.push(yield* middle());
        yield* sleepAsync(60_000);
      });
      const futures = [outer(), outer()] as const;
      value.complete("hello");
      for (const future of futures) future.cancel("stop");
      for (const future of futures) expectCancelled(future, "stop");
      expect(received).toEqual(["hello", "hello"]);
    });

    test("the cancellation reaches the outer procedure when somebody else's ends the inner one", () => {
      const wait = sleepAsync(60_000);
      const inner = async(function* () {
        yield* wait;
      });
      const outer = async(function* () {
        try {
          yield* inner();
        } catch {}
        yield* sleepAsync(60_000);
      });
      const future = outer();
      wait.cancel("by somebody else");
      future.cancel("stop");
      expectCancelled(future, "stop");
    });

    test("a value on its way through a long chain is followed by the cancellation of its end", () => {
      const value = newFuture<string>();
      const pass = async(function* (future: Future<string>) {
        return yield* future;
      });
      let future: Future<string> = value;
      for (let i = 0; i < 20_000; i++) future = pass(future);
      const received: string[] = [];
      const end = async(function* () {
        received.push(yield* future);
        yield* sleepAsync(60_000);
      })();
      value.complete("hello");
      end.cancel("enough");
      expectCancelled(end, "enough");
      expect(received).toEqual(["hello"]);
    });

    test("the cancellation reaches every outer procedure that waits for the one that ends untold", () => {
      const value = newFuture<string>();
      const shared = async(function* () {
        return yield* value;
      })();
      const outer = async(function* () {
        yield* shared;
        yield* sleepAsync(60_000);
      });
      const futures = [outer(), outer()] as const;
      value.complete("hello");
      futures[0].cancel("first");
      futures[1].cancel("second");
      expectCancelled(futures[0], "first");
      expectCancelled(futures[1], "second");
    });

    test("an inner procedure that cancels the outer one and ends is no refuge", () => {
      let self: Future<void> | undefined;
      const inner = async(function* () {
        yield* sleepAsync(0);
        self?.cancel("stop");
      });
      const outer = async(function* () {
        yield* inner();
        yield* sleepAsync(60_000);
      });
      self = outer();
      expectCancelled(self, "stop");
    });

    test("a second cancellation reaches what the finally block awaits", () => {
      const proc = async(function* () {
        try {
          yield* sleepAsync(60_000);
        } finally {
          yield* sleepAsync(60_000);
        }
      });
      const future = proc();
      future.cancel();
      poll();
      expect(future.finished).toBe(false);
      future.cancel("enough");
      expectCancelled(future, "enough");
    });
  });

  describe("combinators", () => {
    test("cancelling withTimeout leaves the future and no timer", () => {
      const never = newFuture();
      const inTime = withTimeout(never, 60_000);
      expect(inTime.cancel()).toBe(true);
      expectCancelled(inTime);
      expect(never.finished).toBe(false);
      expect(getGlobalDispatcher().statistics().pendingTimers).toBe(0);
    });

    test("cancelling all and or only stops looking at the members", () => {
      const member = newFuture();
      for (const combined of [all([member, member]), or(member, member)]) {
        expect(combined.cancel()).toBe(true);
        expectCancelled(combined);
      }
      expect(member.finished).toBe(false);
    });
  });

  describe("signals", () => {
    const operations: [string, (fd: AsyncFD, signal: AbortSignal) => Future<unknown>][] = [
      ["recv", (fd, signal) => recv(fd, 100, { signal })],
      ["recvInto", (fd, signal) => recvInto(fd, Buffer.alloc(8), 8, { signal })],
      ["send", (fd, signal) => send(fd, Buffer.alloc(32 * 1024 * 1024), { signal })],
      ["accept", (fd, signal) => accept(fd, { signal })],
      ["acceptAddr", (fd, signal) => acceptAddr(fd, { signal })],
      ["sleepAsync", (_fd, signal) => sleepAsync(60_000, { signal })],
      ["dial", (_fd, signal) => dial("localhost", 1, undefined, { signal })],
    ];

    for (const [name, start] of operations) {
      test(`aborting the signal of ${name} cancels it with the signal's reason`, () => {
        const [a] = connectedPair();
        const controller = new AbortController();
        const future = start(name.startsWith("accept") ? listener().socket : a, controller.signal);
        controller.abort("because");
        expectCancelled(future, "because");
      });

      test(`${name} with an aborted signal starts nothing`, () => {
        const [a] = connectedPair();
        const future = start(a, AbortSignal.abort("before"));
        expectCancelled(future, "before");
        expect(hasPendingOperations()).toBe(false);
      });
    }

    test("aborting after the operation finished does nothing", () => {
      const controller = new AbortController();
      const [a, b] = connectedPair();
      const future = recv(a, 100, { signal: controller.signal });
      waitFor(send(b, "hello"));
      waitFor(future);
      controller.abort();
      expect(future.cancelled).toBe(false);
    });

    test.each<[string, (future: Future<void>) => void]>([
      ["finished", () => {}],
      ["cancelled", (future) => void future.cancel()],
      ["finished after callback=", (future) => Object.assign(future, { callback: () => {} })],
      ["finished after clearCallbacks", (future) => future.clearCallbacks()],
    ])("nothing listens to the signal once the operation is %s", (_what, act) => {
      const { signal } = new AbortController();
      const sleep = sleepAsync(0, { signal });
      expect(getEventListeners(signal, "abort")).toHaveLength(1);
      act(sleep);
      waitFor(sleepAsync(1));
      expect(sleep.finished).toBe(true);
      expect(getEventListeners(signal, "abort")).toEqual([]);
    });

    test("a signal that is none raises a TypeError", () => {
      const [a] = connectedPair();
      expect(() => recv(a, 1, { signal: {} as AbortSignal })).toThrow(TypeError);
    });
  });
});
