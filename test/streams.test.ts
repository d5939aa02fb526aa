import { describe, expect, expectTypeOf, test } from "bun:test";
import {
  AssertionDefect,
  async,
  CancelledError,
  type Future,
  type FutureStream,
  newFutureStream,
  poll,
  readAll,
  sleepAsync,
  ValueError,
} from "../src/index.ts";
import { expectThrow, onEachBackend, thrownBy } from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";

const REFUSAL = "FutureStream is finished and so no longer accepts new data.";

/** A stream in which `values` are, and which has not ended. */
function streamOf<T>(...values: T[]): FutureStream<T> {
  const stream = newFutureStream<T>();
  for (const value of values) stream.write(value);
  return stream;
}

function expectRefused(write: Future<void>): void {
  const error = write.error as Error;
  expect({ type: error.constructor, message: error.message }).toEqual({ type: ValueError, message: REFUSAL });
}

onEachBackend(() => {
  describe("reading and writing", () => {
    test("what is written is read in the same order, and nothing waits", () => {
      const stream = streamOf(1, 2, 3);
      expect([1, 2, 3].map(() => stream.read().read())).toEqual([1, 2, 3].map((value) => [true, value]));
    });

    test("write is finished at return, however much is queued", () => {
      const stream = newFutureStream<number>();
      for (let i = 0; i < 1000; i++) expect(stream.write(i).finished).toBe(true);
      expect(stream.length).toBe(1000);
    });

    test("a read of an empty stream waits for the next write", () => {
      const stream = newFutureStream<string>();
      const read = stream.read();
      expect(read.finished).toBe(false);
      stream.write("value");
      expect(read.read()).toEqual([true, "value"]);
      expect(stream.length).toBe(0);
    });

    test("Q6: readers are served in the order in which they began to wait", () => {
      const stream = newFutureStream<number>();
      const reads = [1, 2, 3].map(() => stream.read());
      for (const value of [1, 2, 3]) stream.write(value);
      expect(reads.map((read) => read.read()[1])).toEqual([1, 2, 3]);
    });

    test("many values keep their order through reads and writes by turns", () => {
      const stream = newFutureStream<number>();
      const got: number[] = [];
      for (let i = 0; i < 1000; i++) {
        stream.write(2 * i);
        stream.write(2 * i + 1);
        got.push(stream.read().read()[1]);
      }
      while (stream.length > 0) got.push(stream.read().read()[1]);
      expect(got).toEqual(Array.from({ length: 2000 }, (_, i) => i));
    });

    test("its futures and itself have the name that it was given", () => {
      const stream = newFutureStream<number>("lines");
      expect([stream.fromProc, stream.read().fromProc, stream.write(1).fromProc]).toEqual([
        "lines",
        "lines.read",
        "lines.write",
      ]);
    });
  });

  describe("the end", () => {
    test("a stream is finished when it has ended and is empty", () => {
      const stream = streamOf("value");
      stream.complete();
      expect(stream.finished).toBe(false);
      stream.read();
      expect({ finished: stream.finished, failed: stream.failed, error: stream.error }).toEqual({
        finished: true,
        failed: false,
        error: null,
      });
    });

    test("a read at the end gives false", () => {
      const stream = streamOf("value");
      stream.complete();
      expect(stream.read().read()).toEqual([true, "value"]);
      expect(stream.read().read()).toEqual([false, undefined as never]);
      expect(stream.read().read()[0]).toBe(false);
    });

    test("Q6: the end wakes every waiting reader", () => {
      const stream = newFutureStream<string>();
      const reads = [1, 2, 3].map(() => stream.read());
      stream.complete();
      expect(reads.map((read) => read.read()[0])).toEqual([false, false, false]);
    });

    test("Q6: a failure wakes every waiting reader with the very error", () => {
      const stream = newFutureStream<string>();
      const error = new Error("reason");
      const reads = [1, 2, 3].map(() => stream.read());
      stream.fail(error);
      expect(reads.map((read) => read.error)).toEqual([error, error, error]);
    });

    test("Q6: what was written before a failure is read before the error", () => {
      const stream = streamOf(1, 2);
      const error = new Error("reason");
      stream.fail(error);
      expect({ failed: stream.failed, error: stream.error, finished: stream.finished }).toEqual({
        failed: true,
        error,
        finished: false,
      });
      expect([stream.read().read()[1], stream.read().read()[1]]).toEqual([1, 2]);
      expect(stream.read().error).toBe(error);
      expect(stream.finished).toBe(true);
    });

    test("write after the end gives a failed future", () => {
      const stream = newFutureStream<string>();
      stream.complete();
      expectRefused(stream.write("late"));
      expect(stream.length).toBe(0);
    });

    test("completing twice is allowed, and calls the callback again", () => {
      const stream = newFutureStream<string>();
      let calls = 0;
      stream.callback = () => calls++;
      stream.complete();
      stream.complete();
      expect(calls).toBe(2);
    });

    test("complete after fail raises an AssertionDefect", () => {
      const stream = newFutureStream<string>();
      stream.fail(new Error("reason"));
      expectThrow(() => stream.complete(), AssertionDefect, "Trying to complete failed stream");
    });

    test("fail after the end raises an AssertionDefect", () => {
      const stream = newFutureStream<string>();
      stream.complete();
      expectThrow(() => stream.fail(new Error("late")), AssertionDefect, "`not future.finished`");
    });

    test("fail with what is no Error raises a TypeError", () => {
      expect(thrownBy(() => newFutureStream().fail("text" as never))).toBeInstanceOf(TypeError);
    });
  });

  describe("back-pressure", () => {
    test("a write beyond the high-water mark waits until there is room", () => {
      const stream = newFutureStream<number>("stream", { highWaterMark: 2 });
      const writes = [1, 2, 3, 4].map((value) => stream.write(value));
      const finished = (): boolean[] => writes.map((write) => write.finished);
      expect(finished()).toEqual([true, true, false, false]);
      expect(stream.length).toBe(2);
      expect(stream.read().read()[1]).toBe(1);
      expect(finished()).toEqual([true, true, true, false]);
    });

    test("what waiting writes bring is read in order", () => {
      const stream = newFutureStream<number>("stream", { highWaterMark: 1 });
      for (let i = 0; i < 5; i++) stream.write(i);
      expect(Array.from({ length: 5 }, () => stream.read().read()[1])).toEqual([0, 1, 2, 3, 4]);
    });

    test("a write that a reader waits for does not wait", () => {
      const stream = newFutureStream<number>("stream", { highWaterMark: 1 });
      stream.read();
      expect(stream.write(1).finished).toBe(true);
      expect(stream.length).toBe(0);
    });

    test("a fast producer never has more queued than the high-water mark", () => {
      const stream = newFutureStream<number>("stream", { highWaterMark: 3 });
      let longest = 0;
      async(function* () {
        for (let i = 0; i < 20; i++) {
          yield* stream.write(i);
          longest = Math.max(longest, stream.length);
        }
        stream.complete();
      })();
      const consume = async(function* () {
        let sum = 0;
        for (;;) {
          const [more, value] = yield* stream.read();
          if (!more) return sum;
          sum += value;
          yield* sleepAsync(0);
        }
      });
      expect(waitFor(consume())).toBe(190);
      expect(longest).toBe(3);
    });

    test("writes that wait when the stream ends are still read", () => {
      const stream = newFutureStream<number>("stream", { highWaterMark: 1 });
      stream.write(1);
      const second = stream.write(2);
      stream.fail(new Error("reason"));
      expect([stream.read().read()[1], second.finished, stream.read().read()[1]]).toEqual([1, true, 2]);
      expect(stream.read().failed).toBe(true);
    });

    test.each([0, -1, Number.NaN])("a high-water mark of %p raises a ValueError", (highWaterMark) => {
      expect(thrownBy(() => newFutureStream("stream", { highWaterMark }))).toBeInstanceOf(ValueError);
    });

    test("a high-water mark that is no number raises a TypeError", () => {
      expect(thrownBy(() => newFutureStream("stream", { highWaterMark: "1" as never }))).toBeInstanceOf(TypeError);
    });
  });

  describe("cancellation", () => {
    test("a cancelled read leaves its turn to the next reader", () => {
      const stream = newFutureStream<string>();
      const first = stream.read();
      const second = stream.read();
      expect(first.cancel("why")).toBe(true);
      stream.write("value");
      expect(second.read()).toEqual([true, "value"]);
      expect(first.error).toBeInstanceOf(CancelledError);
      expect(first.error?.cause).toBe("why");
    });

    test("a value that only a cancelled read waited for stays in the stream", () => {
      const stream = newFutureStream<string>();
      stream.read().cancel();
      stream.write("value");
      expect(stream.length).toBe(1);
      expect(stream.read().read()[1]).toBe("value");
    });

    test("a cancelled write takes its value back", () => {
      const stream = newFutureStream<number>("stream", { highWaterMark: 1 });
      stream.write(1);
      const second = stream.write(2);
      const third = stream.write(3);
      second.cancel();
      expect([stream.read().read()[1], stream.read().read()[1]]).toEqual([1, 3]);
      expect([second.cancelled, third.finished]).toEqual([true, true]);
    });

    test("what has been read or written already cannot be cancelled", () => {
      const stream = streamOf("value");
      expect([stream.read().cancel(), stream.write("next").cancel()]).toEqual([false, false]);
      expect(stream.length).toBe(1);
    });
  });

  describe("callback", () => {
    test("it is called from within every write, and at the end", () => {
      const stream = newFutureStream<number>();
      const log: number[] = [];
      stream.callback = ({ length }) => log.push(length);
      stream.write(1);
      stream.write(2);
      expect(log).toEqual([1, 2]);
      stream.complete();
      expect(log).toEqual([1, 2, 2]);
    });

    test("it is called from within fail", () => {
      const stream = newFutureStream<number>();
      let failed = false;
      stream.callback = (changed) => {
        failed = changed.failed;
      };
      stream.fail(new Error("reason"));
      expect(failed).toBe(true);
    });

    test("setting it on a stream with something to read calls it in the next callback phase", () => {
      const stream = streamOf(1);
      let calls = 0;
      stream.callback = () => calls++;
      expect(calls).toBe(0);
      poll();
      expect(calls).toBe(1);
    });

    test("setting it on an ended stream calls it in the next callback phase", () => {
      const stream = newFutureStream<number>();
      stream.complete();
      let calls = 0;
      stream.callback = () => calls++;
      poll();
      expect(calls).toBe(1);
    });

    test("there is one slot: the next callback takes the place of the one before", () => {
      const stream = newFutureStream<number>();
      const log: string[] = [];
      stream.callback = () => log.push("first");
      stream.callback = () => log.push("second");
      stream.write(1);
      expect(log).toEqual(["second"]);
    });

    test("a callback may read and write", () => {
      const stream = newFutureStream<number>("stream", { highWaterMark: 1 });
      const log: number[] = [];
      stream.callback = () => {
        while (stream.length > 0) log.push(stream.read().read()[1]);
        if (log.length < 3) stream.write(log.length);
      };
      stream.write(0);
      expect(log).toEqual([0, 1, 2]);
    });

    test("it does not take what a waiting reader waits for", () => {
      const stream = newFutureStream<number>();
      const read = stream.read();
      stream.callback = () => stream.read();
      stream.write(1);
      expect(read.read()).toEqual([true, 1]);
    });

    test("a callback that is no function raises a TypeError", () => {
      expect(
        thrownBy(() => {
          newFutureStream().callback = 1 as never;
        }),
      ).toBeInstanceOf(TypeError);
    });
  });

  describe("for await", () => {
    const collect = async(async (stream: FutureStream<number>, limit = Infinity) => {
      const got: number[] = [];
      for await (const value of stream) {
        got.push(value);
        if (got.length === limit) break;
      }
      return got;
    });

    test("it gives what is there and what comes later, until the end", () => {
      const stream = streamOf(1, 2);
      const collecting = collect(stream);
      sleepAsync(0).addCallback(() => {
        stream.write(3);
        stream.complete();
      });
      expect(waitFor(collecting)).toEqual([1, 2, 3]);
    });

    test("it raises the error of the stream after what was written before", () => {
      const stream = streamOf(1);
      const got: number[] = [];
      const error = new Error("reason");
      stream.fail(error);
      const collecting = async(async () => {
        for await (const value of stream) got.push(value);
      })();
      expect(failureOf(collecting)).toBe(error);
      expect(got).toEqual([1]);
    });

    test("leaving it early leaves the rest in the stream", () => {
      const stream = streamOf(1, 2, 3);
      expect(waitFor(collect(stream, 1))).toEqual([1]);
      expect(stream.length).toBe(2);
      expect(stream.read().read()[1]).toBe(2);
    });

    test("return of the iterator cancels a read that waits", () => {
      const stream = newFutureStream<number>();
      const iterator = stream[Symbol.asyncIterator]();
      const next = iterator.next();
      const rejected = next.catch((error) => error);
      waitFor(async(async () => iterator.return?.())());
      expect(waitFor(async(async () => rejected)())).toBeInstanceOf(CancelledError);
      stream.write(1);
      expect(stream.length).toBe(1);
    });
  });

  describe("readable", () => {
    /** What a native function gives; it makes progress in the polls. */
    function native<T>(body: () => Promise<T>): T {
      return waitFor(async(body)());
    }

    test("it gives what is written, and ends", () => {
      const stream = streamOf("a", "b");
      stream.complete();
      expect(native(() => new Response(stream.readable().pipeThrough(new TextEncoderStream())).text())).toBe("ab");
    });

    test("it takes nothing out before somebody reads", () => {
      const stream = newFutureStream<number>("stream", { highWaterMark: 1 });
      const reader = stream.readable().getReader();
      const writes = [1, 2, 3].map((value) => stream.write(value));
      expect(native(() => reader.read())).toEqual({ done: false, value: 1 });
      expect(writes.map((write) => write.finished)).toEqual([true, true, false]);
    });

    test("it fails as the stream does, after what was written before", () => {
      const stream = streamOf(1);
      const error = new Error("reason");
      stream.fail(error);
      const reader = stream.readable().getReader();
      expect(native(() => reader.read())).toEqual({ done: false, value: 1 });
      expect(failureOf(async(() => reader.read())())).toBe(error);
    });

    test("cancelling it ends the stream and drops what was not read", () => {
      const stream = newFutureStream<number>("stream", { highWaterMark: 1 });
      const reader = stream.readable().getReader();
      stream.write(1);
      const waiting = stream.write(2);
      native(() => reader.cancel("why"));
      expect({ finished: stream.finished, length: stream.length }).toEqual({ finished: true, length: 0 });
      expectRefused(waiting);
      expectRefused(stream.write(3));
    });

    test("cancelling it while it waits ends the wait", () => {
      const stream = newFutureStream<number>();
      const reader = stream.readable().getReader();
      native(async () => {
        const read = reader.read();
        await sleepAsync(0);
        await reader.cancel();
        expect(await read).toEqual({ done: true, value: undefined });
      });
      expect(stream.finished).toBe(true);
    });
  });

  describe("readAll", () => {
    test("strings give a string", () => {
      const stream = streamOf("a", "b");
      const all = readAll(stream);
      stream.write("c");
      stream.complete();
      expect(waitFor(all)).toBe("abc");
    });

    test("bytes give a Buffer", () => {
      const stream = streamOf(new Uint8Array([1, 2]), new Uint8Array([3]));
      stream.complete();
      expect(waitFor(readAll(stream))).toEqual(Buffer.from([1, 2, 3]));
    });

    test("bytes and strings give a Buffer", () => {
      const stream = streamOf<string | Uint8Array>("ä", Buffer.from("b"));
      stream.complete();
      expect(waitFor(readAll(stream)).toString()).toBe("äb");
    });

    test("nothing gives an empty string", () => {
      const stream = newFutureStream<string>();
      stream.complete();
      expect(waitFor(readAll(stream))).toBe("");
    });

    test("it fails as the stream does", () => {
      const stream = streamOf("a");
      const error = new Error("reason");
      stream.fail(error);
      expect(failureOf(readAll(stream))).toBe(error);
    });

    test("anything else in the stream is a TypeError", () => {
      expect(failureOf(readAll(streamOf(1) as never))).toBeInstanceOf(TypeError);
    });

    test("what is no stream raises a TypeError", () => {
      expectThrow(() => readAll("text" as never), TypeError, "Expected a FutureStream, got string");
    });
  });
});

test("types: a stream of strings is a stream of unknown, and readAll of it gives a string", () => {
  const stream = newFutureStream<string>();
  const wider: FutureStream<string | Uint8Array> | FutureStream<unknown> = stream;
  expect(wider).toBe(stream);
  expectTypeOf(readAll(stream)).toEqualTypeOf<Future<string>>();
  expectTypeOf(stream.read()).toEqualTypeOf<Future<[boolean, string]>>();
});
