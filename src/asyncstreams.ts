import { Future } from "./asyncfutures.ts";
import { async } from "./asyncmacro.ts";
import { enqueue } from "./callsoon.ts";
import { AssertionDefect, type CancelledError, requireOptions, typeName, ValueError } from "./errors.ts";

const REFUSAL = "FutureStream is finished and so no longer accepts new data.";

/** How many items {@link Fifo} keeps of those that are gone, before it moves the others. */
const COMPACT_AT = 64;

/** A queue from which something in the middle can be taken too. */
class Fifo<T> {
  private items: T[] = [];
  private head = 0;

  get length(): number {
    return this.items.length - this.head;
  }

  push(item: T): void {
    this.items.push(item);
  }

  /** The oldest item. The queue must not be empty. */
  shift(): T {
    const item = this.items[this.head] as T;
    this.items[this.head++] = undefined as T;
    if (this.head >= COMPACT_AT && 2 * this.head >= this.items.length) {
      this.items.splice(0, this.head);
      this.head = 0;
    }
    return item;
  }

  remove(item: T): void {
    const index = this.items.indexOf(item, this.head);
    if (index !== -1) this.items.splice(index, 1);
  }

  /** Empties the queue and gives what was in it. */
  takeAll(): T[] {
    const items = this.items.slice(this.head);
    this.items = [];
    this.head = 0;
    return items;
  }
}

/** A future that waits in a queue of its stream, and leaves it when it is cancelled. */
abstract class Queued<T> extends Future<T> {
  protected abstract readonly queue: Fifo<Future<unknown>>;

  protected override tryCancel(error: CancelledError): boolean {
    this.queue.remove(this);
    this.fail(error);
    return true;
  }
}

class Read<T> extends Queued<[boolean, T]> {
  protected readonly queue: Fifo<Read<T>>;

  constructor(fromProc: string, queue: Fifo<Read<T>>) {
    super(fromProc);
    this.queue = queue;
  }
}

/** A write that waits for room; its value is not in the stream yet. */
class Write<T> extends Queued<void> {
  protected readonly queue: Fifo<Write<T>>;
  readonly value: T;

  constructor(fromProc: string, queue: Fifo<Write<T>>, value: T) {
    super(fromProc);
    this.queue = queue;
    this.value = value;
  }
}

export interface FutureStreamOptions {
  /** How many items may be queued before `write` waits: 1 or more; the default is Infinity. */
  readonly highWaterMark?: number;
}

/** A method's type, so that a `FutureStream<string>` is a `FutureStream<unknown>`. */
type StreamCallback<S> = { call(stream: S): void }["call"];

/**
 * A queue of values between procedures, with an end. Several may read: each value goes to one of them, in the
 * order in which they began to. Nim: `FutureStream[T]`.
 *
 * @example
 * const stream = newFutureStream<string>("lines");
 * asyncCheck(produce(stream)); // writes, then stream.complete()
 * for await (const line of stream) console.log(line);
 */
export class FutureStream<T> implements AsyncIterable<T> {
  /** Who made the stream: a name for messages and logs. */
  readonly fromProc: string;
  private readonly highWaterMark: number;
  private readonly items = new Fifo<T>();
  private readonly readers = new Fifo<Read<T>>();
  /** Writes that wait for room; there are none unless `items` is full. */
  private readonly writers = new Fifo<Write<T>>();
  private ended = false;
  private reason: Error | null = null;
  private onChange: StreamCallback<this> | undefined = undefined;

  /** See {@link newFutureStream}. */
  constructor(fromProc = "FutureStream", options: FutureStreamOptions = {}) {
    requireOptions(options);
    this.fromProc = fromProc;
    this.highWaterMark = requireHighWaterMark(options.highWaterMark ?? Infinity);
  }

  /** Whether it has ended and everything in it was read. */
  get finished(): boolean {
    return this.ended && this.items.length === 0;
  }

  /** Whether it has ended with an error, although there may be something to read before that. */
  get failed(): boolean {
    return this.reason !== null;
  }

  /** How many values can be read without waiting; those of waiting writes are not counted. Nim: `len`. */
  get length(): number {
    return this.items.length;
  }

  /** The error that {@link fail} was given, else null. */
  get error(): Error | null {
    return this.reason;
  }

  /**
   * Adds a value. The future is finished at return unless the stream has a high-water mark and is full: then it
   * completes when the value has got a place in the queue. Cancelled before, it takes the value back.
   *
   * @returns fails with a ValueError `FutureStream is finished and so no longer accepts new data.` after the end
   */
  write(value: T): Future<void> {
    const name = `${this.fromProc}.write`;
    if (this.ended) {
      const refused = new Future<void>(name);
      refused.fail(new ValueError(REFUSAL));
      return refused;
    }
    const write = new Write(name, this.writers, value);
    if (this.items.length < this.highWaterMark) {
      if (this.readers.length > 0) this.readers.shift().complete([true, value]);
      else this.items.push(value);
      write.complete();
    } else {
      this.writers.push(write);
    }
    this.onChange?.(this);
    return write;
  }

  /**
   * The oldest value, as `[true, value]`; at the end `[false, undefined]`, or the error of the stream: each after
   * everything that was written before. Cancelled, it leaves its value to the others.
   */
  read(): Future<[boolean, T]> {
    const read = new Read<T>(`${this.fromProc}.read`, this.readers);
    if (this.items.length > 0) read.complete([true, this.take()]);
    else if (this.ended) this.end(read);
    else this.readers.push(read);
    return read;
  }

  /**
   * Ends the stream: what is in it can still be read. Again, it only calls the callback.
   *
   * @throws AssertionDefect `Trying to complete failed stream`
   */
  complete(): void {
    if (this.reason !== null) throw new AssertionDefect("Trying to complete failed stream");
    this.finish();
  }

  /**
   * Ends the stream with an error, which every read gives once what is in the stream was read.
   *
   * @throws AssertionDefect when it has ended already; TypeError when `error` is not an Error
   */
  fail(error: Error): void {
    if (!(error instanceof Error)) throw new TypeError(`A stream fails with an Error, not with ${typeName(error)}`);
    if (this.ended) throw new AssertionDefect("`not future.finished`");
    this.reason = error;
    this.finish();
  }

  /**
   * Called from within every `write`, `complete` and `fail`, in the place of the callback before. With something to
   * read, or an end, it is called in the next callback phase too. Nim: `callback=`.
   *
   * @throws TypeError when it is not a function
   */
  set callback(callback: StreamCallback<this>) {
    if (typeof callback !== "function") throw new TypeError(`Expected a callback, got ${typeName(callback)}`);
    this.onChange = callback;
    if (this.items.length > 0 || this.ended) enqueue(callback as (stream: never) => void, this);
  }

  /** For `for await` in native code. Leaving the loop early leaves what was not read in the stream. */
  [Symbol.asyncIterator](): AsyncIterator<T> {
    let last: Future<unknown> | undefined;
    return {
      next: () => {
        const read = this.read();
        last = read;
        return read.then(([more, value]) => (more ? { done: false, value } : { done: true, value: undefined }));
      },
      return: async () => {
        last?.cancel();
        return { done: true, value: undefined };
      },
    };
  }

  /**
   * A stream of the platform that reads this one, and only when somebody reads it. When it is cancelled, this
   * stream ends: what was not read is dropped, and waiting writes fail as those after the end do.
   */
  readable(): ReadableStream<T> {
    return new ReadableStream<T>(
      {
        pull: async (controller) => {
          const [more, value] = await this.read();
          if (more) controller.enqueue(value);
          else controller.close();
        },
        cancel: () => this.abandon(),
      },
      // Nothing is read ahead: the queue is this stream.
      { highWaterMark: 0 },
    );
  }

  /** Takes the oldest value out; the oldest waiting write gets its place. */
  private take(): T {
    const value = this.items.shift();
    if (this.writers.length > 0) {
      const write = this.writers.shift();
      this.items.push(write.value);
      write.complete();
    }
    return value;
  }

  private finish(): void {
    this.ended = true;
    for (const read of this.readers.takeAll()) this.end(read);
    this.onChange?.(this);
  }

  private end(read: Read<T>): void {
    if (this.reason === null) read.complete([false, undefined as T]);
    else read.fail(this.reason);
  }

  /** The reader has gone. */
  private abandon(): void {
    this.items.takeAll();
    for (const write of this.writers.takeAll()) write.fail(new ValueError(REFUSAL));
    if (!this.ended) this.finish();
  }
}

/**
 * A new empty stream.
 *
 * @param fromProc a name for messages and logs
 * @throws TypeError or ValueError when `highWaterMark` is not a number of 1 or more
 */
export function newFutureStream<T>(fromProc?: string, options?: FutureStreamOptions): FutureStream<T> {
  return new FutureStream<T>(fromProc, options);
}

function requireHighWaterMark(mark: unknown): number {
  if (typeof mark !== "number") throw new TypeError(`Expected a number of items, got ${typeName(mark)}`);
  if (!(mark >= 1)) throw new ValueError(`A high-water mark of ${mark} leaves no room`);
  return mark;
}

const collect = async(function* readAll(stream: FutureStream<string | Uint8Array>) {
  const parts: (string | Uint8Array)[] = [];
  for (;;) {
    const [more, part] = yield* stream.read();
    if (!more) break;
    if (typeof part !== "string" && !(part instanceof Uint8Array)) {
      throw new TypeError(`Expected a stream of strings or bytes, got ${typeName(part)}`);
    }
    parts.push(part);
  }
  if (parts.every((part) => typeof part === "string")) return parts.join("");
  return Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
});

/**
 * Reads a stream to its end: strings give a string, bytes a Buffer, which also takes strings in between, as UTF-8.
 * Nothing at all gives `""`. Nim: `readAll`.
 *
 * @returns fails with the error of the stream, and with a TypeError for anything else in it
 */
export function readAll(stream: FutureStream<string>): Future<string>;
export function readAll(stream: FutureStream<Uint8Array>): Future<Buffer | "">;
export function readAll(stream: FutureStream<string | Uint8Array>): Future<string | Buffer>;
export function readAll(
  stream: FutureStream<string> | FutureStream<Uint8Array> | FutureStream<string | Uint8Array>,
): Future<string | Buffer> {
  if (!(stream instanceof FutureStream)) throw new TypeError(`Expected a FutureStream, got ${typeName(stream)}`);
  return collect(stream as FutureStream<string | Uint8Array>);
}
