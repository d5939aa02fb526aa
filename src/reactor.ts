import { AssertionDefect, OSError, typeName, ValueError } from "./errors.ts";
import { logFinished } from "./futurelogging.ts";
import { Readiness } from "./native/abi.ts";
import { type AsyncFD, EVENT_WORDS, type Selector } from "./native/selector.ts";
import { errno } from "./native/socket.ts";
import {
  append,
  prepend,
  takeAll,
  type Waiter,
  type WaiterRing,
  Watch,
  type WatchOwner,
  without,
  withoutFirst,
} from "./watch.ts";

/**
 * The half of a dispatcher that knows descriptors: which are registered, who waits for them, and who is served
 * when the selector says that they are ready.
 */
export abstract class Reactor implements WatchOwner {
  /** @internal */
  readonly selector: Selector;
  protected readonly reactorCounters = { wakeups: 0, events: 0, interestChanges: 0 };
  private readonly watchesByFd: (Watch | undefined)[] = [];
  private readonly watchesByIndex: (Watch | undefined)[] = [];
  /** Watches with waiters. */
  private activeWatches = 0;
  private waiterSequence = 0;
  /** The events of the last wait; a nested poll goes on where the outer one stands. */
  private nextEvent = 0;
  private eventCount = 0;

  /** Use {@link newDispatcher}; a selector of one's own is for tests. */
  constructor(selector: Selector) {
    this.selector = selector;
  }

  /** The registered descriptors, as of now. */
  get handles(): ReadonlySet<AsyncFD> {
    return new Set(this.watches().map(({ fd }) => fd));
  }

  /** The number of descriptors that somebody waits for. */
  activeDescriptors(): number {
    return this.activeWatches;
  }

  /** @internal Queues a callback for the next callback phase. */
  abstract enqueue(callback: (argument: never) => void, argument: unknown): void;

  /** @throws when no operation can begin any more */
  protected abstract requireOpen(): void;

  /** What is waited for has changed, perhaps outside of a poll. */
  protected abstract changed(): void;

  /** Must not be collected from now on. */
  protected abstract keep(): void;

  /** @internal @param isOwn as in {@link registerOpened} */
  register(fd: AsyncFD, isOwn = false): Watch {
    requireDescriptor(fd);
    this.requireOpen();
    if (this.find(fd) !== undefined) throw new AssertionDefect(`Descriptor ${fd} already registered`);
    const watch = new Watch(fd, this);
    this.selector.register(fd, watch, isOwn);
    this.watchesByFd[fd] = watch;
    this.watchesByIndex[watch.index] = watch;
    if (isOwn) this.keep();
    return watch;
  }

  /**
   * @internal Registers a descriptor that this library has just opened. If its number is registered, that one was
   * closed behind the loop's back: its operations fail with `EBADF`, and its callbacks are not called any more.
   *
   * @param isOwn it need not be checked to be open, and it is closed with the thread
   */
  registerOpened(fd: AsyncFD, isOwn: boolean): Watch {
    const former = this.find(fd);
    if (former !== undefined) this.unregister(former, new OSError(errno.EBADF, "close"));
    return this.register(fd, isOwn);
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
    requireDescriptorOrVirtual(fd);
    throw new ValueError("File descriptor not registered.");
  }

  /**
   * @internal Forgets a watch. Operations fail with `error`; plain callbacks are dropped, but those whose turn it
   * is in this very round are still called, as long as nothing else has its number.
   *
   * @param isClosing the descriptor is closed next
   */
  unregister(watch: Watch, error: Error = new OSError(errno.ECANCELED, "unregister"), isClosing = false): void {
    this.forget(watch, isClosing);
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
    if (watch.waiterCount > 0) this.activeWatches -= 1;
    watch.waiterCount = 0;
    watch.armed = 0;
    watch.registered = false;
    this.selector.unregister(watch, isClosing);
    this.changed();
  }

  /**
   * @internal Lets `waiter` wait until `watch` is readable or writable.
   *
   * @throws IOSelectorsException when the selector cannot watch the descriptor (a regular file: EPERM)
   */
  addWaiter(watch: Watch, direction: number, waiter: Waiter): void {
    try {
      this.arm(watch, direction);
    } catch (error) {
      // The future of an operation that does not begin.
      logFinished(waiter);
      throw error;
    }
    waiter.sequence = ++this.waiterSequence;
    waiter.watch = watch;
    if (direction === Readiness.read) watch.readers = append(watch.readers, waiter);
    else watch.writers = append(watch.writers, waiter);
    if (watch.waiterCount++ === 0) this.activeWatches += 1;
    this.changed();
  }

  /** @internal */
  removeWaiter(watch: Watch, waiter: Waiter): void {
    if (!watch.registered || waiter.watch !== watch) return;
    waiter.watch = undefined;
    watch.readers = without(watch.readers, waiter);
    watch.writers = without(watch.writers, waiter);
    this.release(watch);
    this.changed();
  }

  protected watches(): Watch[] {
    return this.watchesByIndex.filter((watch) => watch !== undefined);
  }

  protected arm(watch: Watch, direction: number): void {
    if ((watch.armed & direction) === 0 && (watch.paused & direction) === 0) {
      this.setInterest(watch, watch.armed | direction);
    }
  }

  protected setInterest(watch: Watch, interest: number): void {
    this.reactorCounters.interestChanges += 1;
    // After a failure, the next waiter must ask the selector again.
    watch.armed = 0;
    this.selector.setInterest(watch, interest);
    watch.armed = interest;
  }

  /** Waits, bounded by `timeoutMs` (negative: for ever), and returns how many events there are, at most `limit`. */
  protected wait(timeoutMs: number, limit: number): number {
    this.reactorCounters.wakeups += 1;
    this.nextEvent = 0;
    this.eventCount = 0;
    this.eventCount = this.selector.wait(timeoutMs, limit);
    this.reactorCounters.events += this.eventCount;
    return this.eventCount;
  }

  /** Serves what is left of the last wait's events; false when nobody waited for any of them. */
  protected serveEvents(): boolean {
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
      if (waiter.sequence > last || this.isSucceeded(watch)) return;
      watch[direction] = withoutFirst(ring);
      let done = true;
      try {
        done = waiter.ready(watch);
        // A poll inside it may have found nobody who waits, and disarmed.
        if (!done && watch.registered) this.arm(watch, direction === "readers" ? Readiness.read : Readiness.write);
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
      waiter.watch = undefined;
      this.release(watch);
    }
  }

  /** Whether the number of a watch that was forgotten is registered again, perhaps for something else. */
  private isSucceeded(watch: Watch): boolean {
    return !watch.registered && this.find(watch.fd) !== undefined;
  }

  private release(watch: Watch): void {
    watch.waiterCount -= 1;
    if (watch.waiterCount === 0) this.activeWatches -= 1;
  }
}

/** Fails the operations among the waiters and leaves the plain callbacks. */
function abandoned(ring: WaiterRing, error: Error): WaiterRing {
  return takeAll(ring)
    .filter((waiter) => !waiter.abandon(error))
    .reduce(append, undefined as WaiterRing);
}

/** Queued, it throws an error out of the callback phase. */
export function raise(error: never): never {
  throw error;
}

/** @throws TypeError when `fd` is not a number; ValueError when no descriptor can have it */
export function requireDescriptor(fd: unknown): void {
  requireDescriptorOrVirtual(fd);
  if (fd < -(2 ** 31)) throw new ValueError(`${fd} is not a descriptor`);
}

/** As {@link requireDescriptor}; a virtual one is negative, and may have more than 32 bits. */
export function requireDescriptorOrVirtual(fd: unknown): asserts fd is number {
  if (typeof fd !== "number") throw new TypeError(`Expected a descriptor, got ${typeName(fd)}`);
  if (!Number.isSafeInteger(fd) || fd >= 2 ** 31) throw new ValueError(`${fd} is not a descriptor`);
}
