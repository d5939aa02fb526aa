import { drainMicrotasks } from "bun:jsc";
import { CallbackQueue } from "./callbackqueue.ts";
import { AssertionDefect, OSError, requireOptions, typeName, ValueError } from "./errors.ts";
import { Readiness } from "./native/abi.ts";
import { type AsyncFD, EVENT_WORDS, NativeSelector, type Selector, type SelectorKind } from "./native/selector.ts";
import { errno } from "./native/socket.ts";
import { TimerHeap, type TimerId, type TimerTarget } from "./timers.ts";
import { append, prepend, takeAll, type Waiter, type WaiterRing, Watch, withoutFirst } from "./watch.ts";

/** How many polls may run inside one another. */
export const MAX_NESTED_POLLS = 100;

/**
 * How many callbacks that are queued during a callback phase run in that same phase. The rest waits for the
 * next poll, so that a chain of callbacks cannot keep timers and descriptors waiting.
 */
export const CALLBACK_BUDGET = 1024;

/**
 * How many operations on one descriptor may complete in a row without waiting. The next one waits for the loop,
 * so that a connection that is always ready cannot keep the others waiting.
 */
export const SYNCHRONOUS_BUDGET = 32;

/** How many callbacks a closing dispatcher runs at most: one that queues itself again would run for ever. */
const LAST_CALLBACK_LIMIT = 1_000_000;

/** How long no connection is accepted after the process ran out of descriptors. */
const ACCEPT_PAUSE_MS = 100;

const NOTHING_PENDING = "No handles or timers registered in dispatcher.";

/** Plain counters of a dispatcher, since it was made; `waiters`, `pendingTimers` and `descriptors` are of now. */
export interface DispatcherStatistics {
  /** Calls of `poll`. */
  readonly polls: number;
  /** Waits of the selector, each one system call. */
  readonly wakeups: number;
  /** Events that the selector reported. */
  readonly events: number;
  /** Timers that fired. */
  readonly timers: number;
  /** Callbacks that ran in callback phases. */
  readonly callbacks: number;
  /** Changes of interest that the selector was told. */
  readonly interestChanges: number;
  readonly waiters: number;
  readonly pendingTimers: number;
  readonly descriptors: number;
}

/**
 * An event loop: a selector, timers and a queue of callbacks. It belongs to the JavaScript thread that made it.
 * Nim: `PDispatcher`.
 */
export class Dispatcher implements Disposable {
  /** @internal */
  readonly selector: Selector;
  private readonly timers = new TimerHeap();
  private readonly queue = new CallbackQueue();
  private readonly watchesByFd: (Watch | undefined)[] = [];
  private readonly watchesByIndex: (Watch | undefined)[] = [];
  /** Watches with waiters. */
  private activeWatches = 0;
  private waiterSequence = 0;
  /** The events of the last wait; a nested poll goes on where the outer one stands. */
  private nextEvent = 0;
  private eventCount = 0;
  private depth = 0;
  private closed = false;
  /** While the dispatcher is closing: what outstanding operations fail with, and new ones throw. */
  private closingReason: OSError | undefined;
  private readonly resources: { close(): void }[] = [];
  private readonly counters = { polls: 0, wakeups: 0, events: 0, timers: 0, callbacks: 0, interestChanges: 0 };

  /** Use {@link newDispatcher}; a selector of one's own is for tests. */
  constructor(selector: Selector) {
    this.selector = selector;
  }

  /** The registered descriptors, as of now. */
  get handles(): ReadonlySet<AsyncFD> {
    return new Set(this.watches().map(({ fd }) => fd));
  }

  /**
   * One round of the loop: due timers finish their futures; the selector is waited for, not at all when
   * something is to do already; ready descriptors are served; timers again; queued callbacks run, those queued
   * when the phase began and at most {@link CALLBACK_BUDGET} more; promise reactions run.
   *
   * An exception of a callback leaves through here; what was not called yet runs in the next poll.
   *
   * @param timeoutMs how long to wait when nothing is ready; -1: until something happens, descriptor or timer
   * @throws ValueError `No handles or timers registered in dispatcher.` when nothing is pending
   * @throws AssertionDefect when `timeoutMs` is negative and not -1, or when polls are nested too deep
   */
  poll(timeoutMs = 500): void {
    requireTimeout(timeoutMs);
    this.requireOpen();
    if (!this.hasPendingOperations()) throw new ValueError(NOTHING_PENDING);
    if (this.depth === MAX_NESTED_POLLS) throw new AssertionDefect(`More than ${MAX_NESTED_POLLS} nested polls`);
    this.counters.polls += 1;
    this.depth += 1;
    const outer = currentDispatcher;
    currentDispatcher = this;
    try {
      const fired = this.finishDueTimers();
      this.serveDescriptors(fired || this.queue.length > 0 ? 0 : timeoutMs);
      this.finishDueTimers();
      this.runCallbacks();
      drainMicrotasks();
    } finally {
      this.depth -= 1;
      if (currentDispatcher === this) currentDispatcher = outer;
    }
  }

  /** Polls until nothing is pending, at most `timeoutMs`. Returns at once, without an error, when nothing is. */
  drain(timeoutMs = 500): void {
    requireTimeout(timeoutMs);
    const end = timeoutMs < 0 ? Infinity : this.selector.now() + timeoutMs;
    while (this.hasPendingOperations()) {
      const left = end - this.selector.now();
      this.poll(left === Infinity ? -1 : Math.max(left, 0));
      if (this.selector.now() >= end) return;
    }
  }

  /** Queues a callback for the next callback phase. */
  callSoon(callback: () => void): void {
    if (typeof callback !== "function") throw new TypeError(`Expected a callback, got ${typeName(callback)}`);
    if (this.closed) this.requireOpen();
    this.enqueue(callback, undefined);
  }

  /** Whether anything can still happen: a descriptor somebody waits for, a timer or a queued callback. */
  hasPendingOperations(): boolean {
    return this.activeWatches > 0 || this.timers.size > 0 || this.queue.length > 0;
  }

  /** The number of descriptors that somebody waits for. */
  activeDescriptors(): number {
    return this.activeWatches;
  }

  /** Milliseconds until the next timer, 0 when one is due; null without timers. */
  nextDeadline(): number | null {
    return this.timers.size === 0 ? null : Math.max(0, this.timers.nextDeadline - this.selector.now());
  }

  /** Counters for observation; reading them costs a pass over the descriptors. */
  statistics(): DispatcherStatistics {
    const watches = this.watches();
    const waiters = watches.reduce((sum, watch) => sum + watch.waiterCount, 0);
    return { ...this.counters, waiters, pendingTimers: this.timers.size, descriptors: watches.length };
  }

  /**
   * Fails every outstanding operation with ECANCELED, runs the callbacks that this queues, `finally` blocks among
   * them, and releases the selector. Operations that they begin are refused. Registered descriptors are forgotten
   * and stay open: they are their owner's. Idempotent.
   *
   * @throws AssertionDefect inside one of its own polls
   * @throws the first error of a callback, once everything is released; not that ECANCELED
   */
  close(): void {
    if (this.closed || this.closingReason !== undefined) return;
    if (this.depth > 0) throw new AssertionDefect("A dispatcher cannot be closed inside its own poll");
    const outer = currentDispatcher;
    currentDispatcher = this;
    try {
      drainMicrotasks();
      const reason = new OSError(errno.ECANCELED, "close");
      this.abandonEverything(reason);
      const errors = this.runLastCallbacks().filter((error) => error !== reason);
      if (errors.length > 0) throw errors[0];
    } finally {
      this.closed = true;
      this.selector.close();
      currentDispatcher = outer === this ? null : outer;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  enqueue(callback: (argument: never) => void, argument: unknown): void {
    this.queue.push(callback, argument);
  }

  /** @internal Closes `resource` when the dispatcher is closed. */
  own(resource: { close(): void }): void {
    this.resources.push(resource);
  }

  /** @internal */
  get hasQueuedCallbacks(): boolean {
    return this.queue.length > 0;
  }

  /** @internal Calls `target.complete()` in the first timer phase after `delayMs`. */
  startTimer(delayMs: number, target: TimerTarget): TimerId {
    this.requireOpen();
    return this.timers.add(this.selector.now() + delayMs, target);
  }

  /** @internal False when the timer has fired already. */
  cancelTimer(id: TimerId): boolean {
    return this.timers.cancel(id);
  }

  /** @internal @param isOwn this library has just opened it, so it need not be checked to be open */
  register(fd: AsyncFD, isOwn = false): Watch {
    requireDescriptor(fd);
    this.requireOpen();
    if (this.find(fd) !== undefined) throw new AssertionDefect(`Descriptor ${fd} already registered`);
    const watch = new Watch(fd);
    this.selector.register(fd, watch, isOwn);
    this.watchesByFd[fd] = watch;
    this.watchesByIndex[watch.index] = watch;
    return watch;
  }

  /** @internal The watch of a descriptor, undefined when it is not registered. */
  find(fd: AsyncFD): Watch | undefined {
    // Anything else would look a property of the array up.
    return typeof fd === "number" ? this.watchesByFd[fd] : undefined;
  }

  /** @internal @throws ValueError when the descriptor is not registered */
  watch(fd: AsyncFD): Watch {
    const watch = this.find(fd);
    if (watch !== undefined) return watch;
    requireDescriptor(fd);
    throw new ValueError("File descriptor not registered.");
  }

  /**
   * @internal Forgets a watch. Operations fail with `error`; plain callbacks are dropped, but those whose turn it
   * is in this very round are still called.
   */
  unregister(watch: Watch, error: Error = new OSError(errno.ECANCELED, "unregister")): void {
    this.forget(watch);
    watch.readers = abandoned(watch.readers, error);
    watch.writers = abandoned(watch.writers, error);
  }

  /**
   * @internal Takes a watch out of the tables and the selector; its waiters stay in its rings.
   *
   * @param isClosing the descriptor is closed next
   */
  forget(watch: Watch, isClosing = false): void {
    this.watchesByFd[watch.fd] = undefined;
    this.watchesByIndex[watch.index] = undefined;
    this.selector.unregister(watch, isClosing);
    if (watch.waiterCount > 0) this.activeWatches -= 1;
    watch.waiterCount = 0;
    watch.armed = 0;
    watch.registered = false;
  }

  /**
   * @internal Lets `waiter` wait until `watch` is readable or writable.
   *
   * @throws IOSelectorsException when the selector cannot watch the descriptor (a regular file: EPERM)
   */
  addWaiter(watch: Watch, direction: number, waiter: Waiter): void {
    if ((watch.armed & direction) === 0 && (watch.paused & direction) === 0) {
      this.setInterest(watch, watch.armed | direction);
    }
    waiter.sequence = ++this.waiterSequence;
    if (direction === Readiness.read) watch.readers = append(watch.readers, waiter);
    else watch.writers = append(watch.writers, waiter);
    if (watch.waiterCount++ === 0) this.activeWatches += 1;
  }

  /** @internal Does not look at a listening socket for a while: the process has no descriptor left. */
  pauseReading(watch: Watch): void {
    if (watch.paused !== 0 || !watch.registered) return;
    watch.paused = Readiness.read;
    this.setInterest(watch, watch.armed & ~Readiness.read);
    const resume = (): void => {
      watch.paused = 0;
      if (watch.registered && watch.readers !== undefined) {
        this.setInterest(watch, watch.armed | Readiness.read);
      }
    };
    this.startTimer(ACCEPT_PAUSE_MS, { complete: resume, fail: resume });
  }

  private setInterest(watch: Watch, interest: number): void {
    this.counters.interestChanges += 1;
    // After a failure, the next waiter must ask the selector again.
    watch.armed = 0;
    this.selector.setInterest(watch, interest);
    watch.armed = interest;
  }

  private finishDueTimers(): boolean {
    if (this.timers.size === 0) return false;
    const now = this.selector.now();
    const before = this.counters.timers;
    for (let timer = this.timers.popDue(now); timer !== undefined; timer = this.timers.popDue(now)) {
      this.counters.timers += 1;
      timer.complete();
    }
    return this.counters.timers !== before;
  }

  /** Waits and serves; goes on waiting when all that came was for nobody. */
  private serveDescriptors(timeoutMs: number): void {
    // What an outer poll has not served yet is ready now.
    if (this.nextEvent < this.eventCount && this.serveEvents()) return;
    const end = timeoutMs > 0 ? this.selector.now() + timeoutMs : 0;
    let left = timeoutMs;
    for (;;) {
      const wait = this.boundByTimers(left);
      this.counters.wakeups += 1;
      this.nextEvent = 0;
      this.eventCount = 0;
      this.eventCount = this.selector.wait(wait);
      this.counters.events += this.eventCount;
      if (this.eventCount === 0 || this.serveEvents() || left === 0) return;
      if (this.timers.size > 0 && this.timers.nextDeadline <= this.selector.now()) return;
      if (left > 0) left = Math.max(0, end - this.selector.now());
    }
  }

  private boundByTimers(timeoutMs: number): number {
    if (timeoutMs === 0 || this.timers.size === 0) return timeoutMs;
    const untilTimer = Math.max(0, this.timers.nextDeadline - this.selector.now());
    return timeoutMs < 0 ? untilTimer : Math.min(timeoutMs, untilTimer);
  }

  /** Serves what is left of the last wait's events; false when nobody waited for any of them. */
  private serveEvents(): boolean {
    const events = this.selector.events;
    let served = false;
    while (this.nextEvent < this.eventCount) {
      const at = EVENT_WORDS * this.nextEvent++;
      const watch = this.watchesByIndex[events[at] as number];
      if (watch === undefined || watch.generation !== events[at + 1]) continue;
      if (this.serve(watch, events[at + 2] as number)) served = true;
    }
    return served;
  }

  private serve(watch: Watch, readiness: number): boolean {
    watch.synchronousCompletions = 0;
    const failed = (readiness & Readiness.failed) !== 0;
    const readable = failed || (readiness & Readiness.read) !== 0;
    const writable = failed || (readiness & Readiness.write) !== 0;
    let unwanted = 0;
    if (readable && watch.readers === undefined) unwanted |= Readiness.read;
    if (writable && watch.writers === undefined) unwanted |= Readiness.write;
    // Before anybody is called: a callback may ask for what is unwanted now.
    if ((watch.armed & unwanted) !== 0) this.lowerInterest(watch, watch.armed & ~unwanted);
    const served = (readable && watch.readers !== undefined) || (writable && watch.writers !== undefined);
    if (readable) this.serveWaiters(watch, "readers");
    if (writable) this.serveWaiters(watch, "writers");
    return served;
  }

  private lowerInterest(watch: Watch, interest: number): void {
    try {
      this.setInterest(watch, interest);
    } catch {
      // The descriptor was closed behind our back: the selector has no interest in it any more.
    }
  }

  /** Calls the waiters in turn, up to the first that goes on waiting, and none that was added meanwhile. */
  private serveWaiters(watch: Watch, direction: "readers" | "writers"): void {
    const last = this.waiterSequence;
    for (let ring = watch[direction]; ring !== undefined; ring = watch[direction]) {
      const waiter = ring.following as Waiter;
      if (waiter.sequence > last) return;
      watch[direction] = withoutFirst(ring);
      let done = true;
      try {
        done = waiter.ready(watch);
      } catch (error) {
        // The other descriptors of this batch are served first; the rest of this ring, in the next poll.
        this.enqueue(raise, error);
        if (!watch.registered) continue;
        this.release(watch);
        return;
      }
      if (!watch.registered) continue;
      if (!done) {
        watch[direction] = prepend(watch[direction], waiter);
        return;
      }
      this.release(watch);
    }
  }

  private release(watch: Watch): void {
    watch.waiterCount -= 1;
    if (watch.waiterCount === 0) this.activeWatches -= 1;
  }

  private abandonEverything(reason: OSError): void {
    this.closingReason = reason;
    for (const resource of this.resources) resource.close();
    for (const watch of this.watches()) this.unregister(watch, reason);
    for (let timer = this.timers.popDue(Infinity); timer !== undefined; timer = this.timers.popDue(Infinity)) {
      timer.fail(reason);
    }
  }

  /** Runs what is queued until nothing is, and gives what was thrown. */
  private runLastCallbacks(): unknown[] {
    const errors: unknown[] = [];
    for (let left = LAST_CALLBACK_LIMIT; left > 0 && this.queue.length > 0; left--) {
      try {
        this.queue.callNext();
      } catch (error) {
        errors.push(error);
      }
      if (this.queue.length === 0) drainMicrotasks();
    }
    return errors;
  }

  private runCallbacks(): void {
    let left = this.queue.length === 0 ? 0 : this.queue.length + CALLBACK_BUDGET;
    for (; left > 0 && this.queue.length > 0; left--) {
      this.counters.callbacks += 1;
      this.queue.callNext();
    }
  }

  private watches(): Watch[] {
    return this.watchesByIndex.filter((watch) => watch !== undefined);
  }

  private requireOpen(): void {
    if (this.closed) throw new ValueError("The dispatcher is closed.");
    if (this.closingReason !== undefined) throw this.closingReason;
  }
}

/** Nim's name of the type {@link Dispatcher}. */
export type PDispatcher = Dispatcher;

/** The global dispatcher of this thread. */
let currentDispatcher: Dispatcher | null = null;

function raise(error: never): never {
  throw error;
}

/** Fails the operations among the waiters and leaves the plain callbacks. */
function abandoned(ring: WaiterRing, error: Error): WaiterRing {
  return takeAll(ring)
    .filter((waiter) => !waiter.abandon(error))
    .reduce(append, undefined as WaiterRing);
}

/** @throws TypeError when `fd` is not a number; ValueError when no descriptor can have it */
export function requireDescriptor(fd: unknown): void {
  if (typeof fd !== "number") throw new TypeError(`Expected a descriptor, got ${typeName(fd)}`);
  if (!Number.isInteger(fd) || fd < -(2 ** 31) || fd >= 2 ** 31) throw new ValueError(`${fd} is not a descriptor`);
}

function requireTimeout(timeoutMs: unknown): void {
  if (typeof timeoutMs !== "number") throw new TypeError(`Expected milliseconds, got ${typeName(timeoutMs)}`);
  if (Number.isNaN(timeoutMs)) throw new ValueError("A timeout cannot be NaN");
  if (timeoutMs < 0 && timeoutMs !== -1) {
    throw new AssertionDefect(`Cannot select with a negative value, got: ${timeoutMs}`);
  }
}

/**
 * A dispatcher of its own, not yet the global one.
 *
 * @param options.selector which selector; the default is `ASYNCDISPATCH_SELECTOR`, else the platform's best
 * @throws ValueError for a selector that this platform does not have
 */
export function newDispatcher(options: { readonly selector?: SelectorKind } = {}): Dispatcher {
  requireOptions(options);
  return new Dispatcher(new NativeSelector(options.selector));
}

/** The dispatcher of this thread, made on first use. During a dispatcher's poll it is that dispatcher. */
export function getGlobalDispatcher(): Dispatcher {
  currentDispatcher ??= newDispatcher();
  return currentDispatcher;
}

/**
 * Makes another dispatcher the global one of this thread; null: a new one on next use. What is registered with
 * the old one stays there.
 *
 * @throws AssertionDefect while callbacks are queued in the old one
 */
export function setGlobalDispatcher(dispatcher: Dispatcher | null): void {
  if (dispatcher !== null && !(dispatcher instanceof Dispatcher)) {
    throw new TypeError(`Expected a Dispatcher or null, got ${typeName(dispatcher)}`);
  }
  if (currentDispatcher?.hasQueuedCallbacks) throw new AssertionDefect("`gDisp.callbacks.len == 0`");
  currentDispatcher = dispatcher;
}

/** The selector of a dispatcher; its `descriptor` lets another loop wait for this one. Nim: `getIoHandler`. */
export function getIoHandler(dispatcher: Dispatcher): Selector {
  if (!(dispatcher instanceof Dispatcher)) throw new TypeError(`Expected a Dispatcher, got ${typeName(dispatcher)}`);
  return dispatcher.selector;
}
