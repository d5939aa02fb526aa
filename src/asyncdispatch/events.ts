import { type Dispatcher, getGlobalDispatcher } from "../dispatcher.ts";
import { AssertionDefect, typeName, ValueError } from "../errors.ts";
import { Readiness } from "../native/abi.ts";
import { NativeEvent } from "../native/watches.ts";
import type { Callback, Waiter, Watch } from "../watch.ts";
import { watchRegistered } from "./sources.ts";

/** Names an {@link AsyncEvent} in every thread of the process; a plain object that `postMessage` copies. */
export interface AsyncEventToken {
  readonly index: number;
  readonly generation: number;
  /** The process that it is good in. */
  readonly pid: number;
}

/**
 * What wakes a dispatcher from any thread: {@link newAsyncEvent} makes one, {@link addEvent} registers it, and
 * {@link trigger} works from every thread that got its token. Nim: `AsyncEvent`.
 *
 * An event lives until every object that stands for it, in all threads, is closed or collected or its Worker has
 * ended; a registered one is not collected. It takes a descriptor of the system (on Linux an eventfd).
 *
 * @example
 * const event = newAsyncEvent();
 * addEvent(event, () => {
 *   console.log("woken");
 *   return false; // stays registered
 * });
 * worker.postMessage(event.token); // there: AsyncEvent.from(token).trigger()
 */
export class AsyncEvent implements Disposable {
  private readonly native: NativeEvent;
  private readonly registrations = new Set<Registration>();
  private closed = false;

  private constructor(native: NativeEvent) {
    this.native = native;
  }

  /** @internal Use {@link newAsyncEvent}. */
  static create(): AsyncEvent {
    return new AsyncEvent(new NativeEvent());
  }

  /**
   * A further object for an event, usually in another thread, from its {@link token}.
   *
   * @throws ValueError when the event is closed, and when the token is of another process or holds no possible numbers
   * @throws TypeError for what is no token
   */
  static from(token: AsyncEventToken): AsyncEvent {
    const { index, generation, pid } = requireToken(token);
    if (pid !== process.pid) throw new ValueError(`The event belongs to the process ${pid}`);
    return new AsyncEvent(new NativeEvent(index, generation));
  }

  /** What another thread needs to stand for this event: see {@link AsyncEvent.from}. */
  get token(): AsyncEventToken {
    return { index: this.native.index, generation: this.native.generation, pid: process.pid };
  }

  /**
   * Wakes one of the threads that have the event registered; of several dispatchers, exactly one. Triggers that
   * come before a poll takes them are one, and one that comes while nobody has the event registered is remembered.
   * Nim: `trigger`.
   *
   * @throws ValueError when the event is closed
   */
  trigger(): void {
    this.requireOpen();
    this.native.trigger();
  }

  /**
   * Takes the event out of the global dispatcher; it can be registered again. Nim: `unregister`.
   *
   * @throws AssertionDefect `Event is not registered in the queue!`
   */
  unregister(): void {
    const dispatcher = getGlobalDispatcher();
    const watch = this.closed ? undefined : dispatcher.find(this.native.descriptor);
    if (watch === undefined) throw new AssertionDefect("Event is not registered in the queue!");
    dispatcher.unregister(watch);
  }

  /** Takes the event out of the dispatchers that it is registered with, and gives it up. Idempotent. Nim: `close`. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const { dispatcher, watch } of [...this.registrations]) {
      if (watch?.registered) dispatcher.unregister(watch);
    }
    this.registrations.clear();
    // Last: a number that is still registered must not have a new owner.
    this.native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal See {@link addEvent}. */
  register(callback: Callback): void {
    this.requireOpen();
    const dispatcher = getGlobalDispatcher();
    const { descriptor } = this.native;
    if (dispatcher.find(descriptor) !== undefined) {
      throw new AssertionDefect("Event is already registered in the queue!");
    }
    const registration = new Registration(this.native, this.registrations, dispatcher, callback);
    watchRegistered(dispatcher, dispatcher.register(descriptor), registration);
    this.registrations.add(registration);
  }

  private requireOpen(): void {
    if (this.closed) throw new ValueError("The event is closed.");
  }
}

/** An event in one dispatcher. It keeps the event open, and takes itself out of `all` when it goes. */
class Registration implements Waiter {
  following: Waiter | undefined = undefined;
  sequence = 0;
  watch: Watch | undefined = undefined;
  readonly dispatcher: Dispatcher;
  private readonly native: NativeEvent;
  private readonly all: Set<Registration>;
  private readonly callback: Callback;

  constructor(native: NativeEvent, all: Set<Registration>, dispatcher: Dispatcher, callback: Callback) {
    this.native = native;
    this.all = all;
    this.dispatcher = dispatcher;
    this.callback = callback;
  }

  ready(watch: Watch): boolean {
    // Taken before the callback, so that a trigger during it counts. Another thread may have been quicker.
    if (!this.native.take()) return false;
    try {
      if (this.callback(watch.fd) === true && watch.registered) this.dispatcher.unregister(watch);
    } catch (error) {
      // An error is no answer: the event stays registered.
      if (watch.registered) this.dispatcher.addWaiter(watch, Readiness.read, this);
      throw error;
    } finally {
      if (!watch.registered) this.all.delete(this);
    }
    return false;
  }

  abandon(): boolean {
    this.all.delete(this);
    return true;
  }
}

/** @throws TypeError, ValueError when it is no token */
function requireToken(token: unknown): AsyncEventToken {
  if (typeof token !== "object" || token === null) {
    throw new TypeError(`Expected the token of an event, got ${typeName(token)}`);
  }
  const { index, generation, pid } = token as Record<keyof AsyncEventToken, unknown>;
  for (const number of [index, generation, pid]) {
    if (typeof number !== "number") throw new TypeError("Expected the token of an event, got another object");
    if (!Number.isInteger(number) || number < 0 || number >= 2 ** 32) {
      throw new ValueError(`${number} is in no token of an event`);
    }
  }
  return { index, generation, pid } as AsyncEventToken;
}

/**
 * A new event, not registered. Nim: `newAsyncEvent`.
 *
 * @throws OSError when the process has no descriptor left
 */
export function newAsyncEvent(): AsyncEvent {
  return AsyncEvent.create();
}

/**
 * Registers an event with the global dispatcher and calls `callback`, with the event's descriptor, in the poll after
 * a trigger. The trigger is taken before the call, so that one that comes meanwhile leads to a further call. True
 * unregisters the event, false keeps it; it may also be unregistered, closed and registered again inside the
 * callback. It stays registered when the callback throws. Nim: `addEvent`.
 *
 * @throws AssertionDefect `Event is already registered in the queue!`, by this object or another of the same event
 * @throws ValueError when the event is closed; TypeError for a wrong type
 */
export function addEvent(event: AsyncEvent, callback: Callback): void {
  if (!(event instanceof AsyncEvent)) throw new TypeError(`Expected an AsyncEvent, got ${typeName(event)}`);
  if (typeof callback !== "function") throw new TypeError(`Expected a callback, got ${typeName(callback)}`);
  event.register(callback);
}
