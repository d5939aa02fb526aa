// Nothing runs here: `npm run check` must accept this file, and would complain of an error that is not there.
import {
  all,
  async,
  asyncCheck,
  awaited,
  Future,
  type FutureBase,
  type FutureStream,
  multisync,
  newFuture,
  newFutureStream,
  newFutureVar,
  or,
  readAll,
  setCallSoonProc,
  waitFor,
  withTimeout,
} from "../../src/index.ts";

const text: Future<string> = newFuture<string>();

/** Fails to compile unless the two types are the same. */
function same<A, B>(
  ..._: (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? [] : ["these types differ", A, B]
): void {}

export const inferred = async(function* (size: number) {
  const line = yield* text;
  same<typeof line, string>();
  const nothing = yield* newFuture();
  same<typeof nothing, void>();
  const lines = yield* all([text, text]);
  same<typeof lines, string[]>();
  const inTime = yield* withTimeout(text, 10);
  same<typeof inTime, boolean>();
  const promised = yield* Future.from(Promise.resolve(1));
  same<typeof promised, number>();
  const [more, item] = yield* newFutureStream<Date>().read();
  same<typeof more, boolean>();
  same<typeof item, Date>();
  return line.length + size;
});
same<typeof inferred, (size: number) => Future<number>>();

export const native = async(async (size: number) => (await text).length + size);
same<typeof native, (size: number) => Future<number>>();

export const both = multisync(function* (source: string | Future<string> | Promise<string>) {
  const line = yield* awaited(source);
  same<typeof line, string>();
  return line.length;
});
same<typeof both.sync, (source: string | Future<string> | Promise<string>) => number>();
same<ReturnType<typeof both.async>, Future<number>>();

// A future of something is one of less, a stream too.
export const wide: Future<unknown> = text;
export const wider: FutureBase = newFutureVar<string>();
export const wideStream: FutureStream<unknown> = newFutureStream<string>();
same<ReturnType<typeof text.read>, string>();

async(function* () {
  // @ts-expect-error a number is not iterable
  yield* 42;
  // @ts-expect-error an object is not iterable
  yield* { text };
  // @ts-expect-error a promise is not iterable
  yield* Promise.resolve();
});
// @ts-expect-error what is awaited is a string, not a future
async(function* () {
  yield* "text";
});
// @ts-expect-error what is awaited is no future
async(function* () {
  yield 42;
});
// @ts-expect-error a FutureVar cannot be awaited
async(function* () {
  yield newFutureVar<string>();
});
// @ts-expect-error neither a generator nor an async function
async(() => 42);
// @ts-expect-error a future is given, not awaited: that is a plain function
async(() => [text]);
// @ts-expect-error a plain function
multisync(() => 42);
// @ts-expect-error a number is no future
asyncCheck(42);
// @ts-expect-error a promise is no future
asyncCheck(Promise.resolve());
// @ts-expect-error a promise is no future
or(text, Promise.resolve());
// @ts-expect-error neither a future nor a promise
waitFor(42);
// @ts-expect-error a future of a string does not complete with a number
text.complete(42);
// @ts-expect-error a future of a string does not complete without one
text.complete();
// @ts-expect-error a future fails with an Error
text.fail("text");
// @ts-expect-error neither strings nor bytes
readAll(newFutureStream<number>());
// @ts-expect-error the proc takes callbacks
setCallSoonProc((text: string) => text);
