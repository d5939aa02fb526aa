import { drainMicrotasks } from "bun:jsc";
import { BunLoop } from "./bunloop.ts";
import { CallbackQueue } from "./callbackqueue.ts";
import { installCallSoonProc } from "./callsoon.ts";
import { AssertionDefect, OSError, requireOptions, typeName, ValueError } from "./errors.ts";
import { inspect } from "./inspect.ts";
import { EVENT_CAPACITY, Readiness } from "./native/abi.ts";
import type { Bridge } from "./native/bridge.ts";
import { NativeSelector, type Selector, type SelectorKind } from "./native/selector.ts";
import { errno } from "./native/socket.ts";
import { Reactor } from "./reactor.ts";
import { type TimerId, TimerQueue, type TimerTarget } from "./timers.ts";
import { VirtualDescriptors } from "./virtuals.ts";
import type { Watch } from "./watch.ts";

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

/** How many events a poll of Bun's loop serves at most, so that Bun's own sockets have their turn soon. */
const HOSTED_EVENT_LIMIT = 64;

/** How many timers finish in one timer phase; the rest, in the next one, so that their callbacks follow closely. */
const TIMER_BATCH = 1024;

/** How many callbacks a closing dispatcher runs at most: one that queues itself again would run for ever. */
const LAST_CALLBACK_LIMIT = 1_000_000;

const NOTHING_PENDING = "No handles or timers registered in dispatcher.";

/** Plain counters of a dispatcher, since it was made; `waiters`, `pendingTimers` and `descriptors` are of now. */
export interface DispatcherStatistics {
  /** Rounds of the loop, those that Bun's loop drives included. */
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
export class Dispatcher extends Reactor implements Disposable {
  private readonly timers = new TimerQueue();
  private readonly queue = new CallbackQueue();
  /** @internal */
  readonly virtuals = new VirtualDescriptors(this.timers, (id) => this.cancelTimer(id));
  private depth = 0;
  /** Whose place as the global dispatcher it has during a poll of Bun's loop. */
  private replaced: Dispatcher | null = null;
  private closed = false;
  /** While the dispatcher is closing: what outstanding operations fail with, and new ones throw. */
  private closingReason: OSError | undefined;
  private readonly resources: { close(reason: OSError): void }[] = [];
  private readonly counters = { polls: 0, timers: 0, callbacks: 0 };
  /** While Bun's loop drives this dispatcher. */
  private bunLoop: BunLoop | undefined;
  private referenced = true;

  /**
   * One round of the loop: due timers finish their futures; the selector is waited for, not at all when
   * something is to do already; ready descriptors are served; timers again; queued callbacks run, those queued
   * when the phase began and at most {@link CALLBACK_BUDGET} more; promise reactions run.
   *
   * An exception of a callback leaves through here; what was not called yet runs in the next poll.
   *
   * On Windows, `poll(0)` may not yet see what has become ready within the last moment; a later one does.
   *
   * @param timeoutMs how long to wait when nothing is ready; -1: until something happens, descriptor or timer
   * @throws ValueError `No handles or timers registered in dispatcher.` when nothing is pending
   * @throws AssertionDefect when `timeoutMs` is negative and not -1, or when polls are nested too deep
   */
  poll(timeoutMs = 500): void {
    requireTimeout(timeoutMs);
    this.letOthersGoOn();
    this.requireOpen();
    if (!this.hasPendingOperations()) throw new ValueError(NOTHING_PENDING);
    this.round(timeoutMs, EVENT_CAPACITY, false);
  }

  /**
   * What was begun before goes on with the dispatcher that was the global one there; and all that is pending may be the
   * next step of a native procedure.
   */
  private letOthersGoOn(): void {
    if (currentDispatcher !== this || !this.hasPendingOperations()) drainMicrotasks();
  }

  /** @internal A poll of Bun's loop, where something is pending. Whether anything happened or can happen at once. */
  hostedPoll(): boolean {
    const before = this.activity();
    this.round(0, HOSTED_EVENT_LIMIT, true);
    return this.queue.length > 0 || this.activity() !== before;
  }

  private activity(): number {
    return this.reactorCounters.events + this.counters.timers + this.counters.callbacks;
  }

  private round(timeoutMs: number, eventLimit: number, isHosted: boolean): void {
    if (this.depth === MAX_NESTED_POLLS) throw new AssertionDefect(`More than ${MAX_NESTED_POLLS} nested polls`);
    this.counters.polls += 1;
    this.depth += 1;
    const outer = currentDispatcher;
    currentDispatcher = this;
    try {
      const fired = this.finishDueTimers();
      this.serveDescriptors(fired || this.queue.length > 0 ? 0 : timeoutMs, eventLimit);
      this.finishDueTimers();
      this.runCallbacks();
      if (isHosted) this.drainOutside(outer);
      else drainMicrotasks();
    } finally {
      this.depth -= 1;
      if (currentDispatcher === this) currentDispatcher = outer?.closed ? null : outer;
      this.changed();
    }
  }

  /** Under Bun's loop, what goes on after an `await` is inside no poll: it may close the dispatcher. */
  private drainOutside(outer: Dispatcher | null): void {
    this.depth -= 1;
    this.replaced = outer === this ? null : outer;
    drainMicrotasks();
    this.replaced = null;
    this.depth += 1;
  }

  /**
   * Lets Bun's loop drive this dispatcher: whenever control returns there and something is pending, it is polled as
   * soon as there is something to do. The global dispatcher is driven so by itself. Blocking calls still work at any
   * time. An exception of a callback is an uncaught exception of the process. Idempotent.
   *
   * @throws ValueError when the dispatcher is closed, or its selector is one that Bun's loop cannot wait for
   */
  attach(): void {
    this.requireOpen();
    if (this.bunLoop !== undefined) return;
    if (this.selector.openBridge === undefined) throw new ValueError("Bun's loop cannot wait for this selector");
    this.bunLoop = new BunLoop(this, this.referenced);
    this.changed();
  }

  /** @internal As {@link attach}, where that makes sense. */
  attachIfPossible(): void {
    if (!this.closed && this.selector.openBridge !== undefined) this.attach();
  }

  /** Ends what {@link attach} began: from now on only calls of `poll` and the like move it. Idempotent. */
  detach(): void {
    this.bunLoop?.stop();
    this.bunLoop = undefined;
  }

  /** Pending operations keep the process alive while Bun's loop drives this dispatcher, as they do at first. */
  ref(): void {
    this.setReferenced(true);
  }

  /** Pending operations do not keep the process alive. */
  unref(): void {
    this.setReferenced(false);
  }

  private setReferenced(referenced: boolean): void {
    this.referenced = referenced;
    this.bunLoop?.setReferenced(referenced);
  }

  /** Polls until nothing is pending, at most `timeoutMs`. Returns at once, without an error, when nothing is. */
  drain(timeoutMs = 500): void {
    requireTimeout(timeoutMs);
    const end = timeoutMs < 0 ? Infinity : this.selector.now() + timeoutMs;
    for (;;) {
      this.letOthersGoOn();
      if (!this.hasPendingOperations()) return;
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
    return this.activeDescriptors() > 0 || this.timers.size > 0 || this.queue.length > 0;
  }

  /** Milliseconds until the next timer, 0 when one is due; null without timers. */
  nextDeadline(): number | null {
    return this.timers.size === 0 ? null : Math.max(0, this.timers.nextDeadline - this.selector.now());
  }

  /** Counters for observation; reading them costs a pass over the descriptors. */
  statistics(): DispatcherStatistics {
    const watches = this.watches();
    const waiters = watches.reduce((sum, watch) => sum + watch.waiterCount, 0);
    return {
      ...this.counters,
      ...this.reactorCounters,
      waiters,
      pendingTimers: this.timers.size,
      descriptors: watches.length,
    };
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
    if (this.hasClosed) return;
    if (this.depth > 0) throw new AssertionDefect("A dispatcher cannot be closed inside its own poll");
    // As in `poll`; that may close it.
    drainMicrotasks();
    if (this.hasClosed) return;
    this.detach();
    const outer = currentDispatcher;
    currentDispatcher = this;
    try {
      const reason = new OSError(errno.ECANCELED, "close");
      this.abandonEverything(reason);
      const errors = this.runLastCallbacks().filter((error) => error !== reason);
      if (errors.length > 0) throw errors[0];
    } finally {
      this.closed = true;
      this.selector.close();
      living.delete(this);
      currentDispatcher = outer === this ? this.replaced : outer;
    }
  }

  /** @internal What `console.log` shows: without it, all that is registered. */
  [inspect](): string {
    const state = this.hasClosed
      ? "closed"
      : `${this.activeDescriptors()} active descriptors, ${this.timers.size} timers`;
    return `Dispatcher<${this.selector.kind}> { ${state} }`;
  }

  /** Or is about to. */
  private get hasClosed(): boolean {
    return this.closed || this.closingReason !== undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  override enqueue(callback: (argument: never) => void, argument: unknown): void {
    this.queue.push(callback, argument);
    this.changed();
  }

  /**
   * @internal Ends it as the end of its thread would: nothing fails, nobody is called, and the descriptors that the
   * library opened for it are closed.
   */
  abandon(): void {
    this.detach();
    this.closed = true;
    for (const resource of this.resources) resource.close(new OSError(errno.ECANCELED, "close"));
    for (const source of this.virtuals.removeAll()) source.stop();
    this.selector.abandon();
  }

  /** @internal Milliseconds until there is something to do that no descriptor tells: 0 at once, Infinity never. */
  idleTime(): number {
    if (this.queue.length > 0) return 0;
    return this.nextDeadline() ?? Infinity;
  }

  /** @internal */
  openBridge(ring: () => void): Bridge {
    this.keep();
    return this.selector.openBridge?.(ring) as Bridge;
  }

  /** @internal Closes `resource` when the dispatcher is closed; its operations fail with the reason. */
  own(resource: { close(reason: OSError): void }): void {
    this.resources.push(resource);
  }

  /** @internal */
  get hasQueuedCallbacks(): boolean {
    return this.queue.length > 0;
  }

  /** @internal Calls `target.complete()` in the first timer phase after `delayMs`. */
  startTimer(delayMs: number, target: TimerTarget): TimerId {
    return this.startTimerAt(this.selector.now() + delayMs, target);
  }

  /** @internal As {@link startTimer}, at a time of the selector's clock. */
  startTimerAt(deadline: number, target: TimerTarget): TimerId {
    this.requireOpen();
    const id = this.timers.add(deadline, target);
    this.changed();
    return id;
  }

  /** @internal Starts a restartable timer again that was due; false when it has been cancelled since. */
  restartTimer(id: TimerId, deadline: number): boolean {
    return this.timers.restart(id, deadline);
  }

  /** @internal False when the timer has fired already. */
  cancelTimer(id: TimerId): boolean {
    const wasWaiting = this.timers.cancel(id);
    this.changed();
    return wasWaiting;
  }

  /** @internal Does not look at a descriptor for a while that would be called ready although it is of no use. */
  pause(watch: Watch, direction: number, delayMs: number): void {
    if ((watch.paused & direction) !== 0 || !watch.registered) return;
    watch.paused |= direction;
    this.setInterest(watch, watch.armed & ~direction);
    const resume = (): void => {
      watch.paused &= ~direction;
      const waiters = direction === Readiness.read ? watch.readers : watch.writers;
      if (watch.registered && waiters !== undefined) this.arm(watch, direction);
    };
    this.startTimer(delayMs, { complete: resume, fail: resume });
  }

  private finishDueTimers(): boolean {
    if (this.timers.size === 0) return false;
    const now = this.selector.now();
    const before = this.counters.timers;
    for (let left = TIMER_BATCH; left > 0; left--) {
      const timer = this.timers.popDue(now);
      if (timer === undefined) break;
      this.counters.timers += 1;
      timer.complete();
    }
    return this.counters.timers !== before;
  }

  /** Waits and serves; goes on waiting when all that came was for nobody. */
  private serveDescriptors(timeoutMs: number, eventLimit: number): void {
    // What an outer poll has not served yet is ready now.
    if (this.serveEvents()) return;
    const end = timeoutMs > 0 ? this.selector.now() + timeoutMs : 0;
    let left = timeoutMs;
    for (;;) {
      if (this.wait(this.boundByTimers(left), eventLimit) === 0 || this.serveEvents() || left === 0) return;
      if (this.timers.size > 0 && this.timers.nextDeadline <= this.selector.now()) return;
      if (left > 0) left = Math.max(0, end - this.selector.now());
    }
  }

  private boundByTimers(timeoutMs: number): number {
    if (timeoutMs === 0 || this.timers.size === 0) return timeoutMs;
    const untilTimer = Math.max(0, this.timers.nextDeadline - this.selector.now());
    return timeoutMs < 0 ? untilTimer : Math.min(timeoutMs, untilTimer);
  }

  private abandonEverything(reason: OSError): void {
    this.closingReason = reason;
    for (const resource of this.resources) resource.close(reason);
    for (const source of this.virtuals.removeAll()) source.stop();
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

  /** Bun's loop has to look at it again, unless a poll is running, at whose end it does. */
  protected override changed(): void {
    if (this.depth === 0) this.bunLoop?.wake();
  }

  protected override keep(): void {
    living.add(this);
  }

  protected override requireOpen(): void {
    if (this.closed) throw new ValueError("The dispatcher is closed.");
    if (this.closingReason !== undefined) throw this.closingReason;
  }
}

/** Nim's name of the type {@link Dispatcher}. */
export type PDispatcher = Dispatcher;

/** The global dispatcher of this thread. */
let currentDispatcher: Dispatcher | null = null;

/** Dispatchers that hold what they would lose if they were collected. */
const living = new Set<Dispatcher>();

/** `bun --hot` loads this module again into the same process; the dispatchers of its former program end then. */
const reloads = globalThis as { [key: symbol]: Set<Dispatcher> | undefined };
const reloadKey = Symbol.for(`asyncdispatch ${import.meta.url}`);
for (const former of reloads[reloadKey] ?? []) former.abandon();
reloads[reloadKey] = living;

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
  if (currentDispatcher !== null) return currentDispatcher;
  const dispatcher = newDispatcher();
  setGlobalDispatcher(dispatcher);
  return dispatcher;
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
  if (dispatcher === null) return;
  installCallSoonProc();
  dispatcher.attachIfPossible();
}

/** The selector of a dispatcher; its `descriptor` lets another loop wait for this one. Nim: `getIoHandler`. */
export function getIoHandler(dispatcher: Dispatcher): Selector {
  if (!(dispatcher instanceof Dispatcher)) throw new TypeError(`Expected a Dispatcher, got ${typeName(dispatcher)}`);
  return dispatcher.selector;
}
