import { drainMicrotasks } from "bun:jsc";
import { fstatSync } from "node:fs";
import { maxDescriptors, requireDelay, waitFor } from "./asyncdispatch/loop.ts";
import { requireInteger } from "./asyncdispatch/sockets.ts";
import { Dispatcher, getGlobalDispatcher, setGlobalDispatcher } from "./dispatcher.ts";
import { AssertionDefect, IOSelectorsException, requireOptions, typeName, ValueError } from "./errors.ts";
import { EVENT_CAPACITY, Readiness } from "./native/abi.ts";
import { type AsyncFD, EVENT_WORDS, type Handle, type Selector } from "./native/selector.ts";

/** Options of {@link newSimulatedDispatcher}. */
export interface SimulationOptions {
  /** Decides what a system leaves open; an integer from 0 to 2³²-1, 0 by default. The same one gives the same run. */
  readonly seed?: number;
}

/** How long a wait takes that finds a descriptor ready: what is always ready must not stop the clock for ever. */
const READY_WAIT_MS = 0.001;

/**
 * The selector of a {@link SimulatedDispatcher}: a clock that moves only by waiting, and descriptors that are ready
 * when the test says so. A wait that finds nothing ready takes just its time, one that finds something a microsecond.
 *
 * What a system leaves open is drawn from the seed: in which order descriptors that are ready at the same time are
 * reported, and how many of them a poll sees. At least one is.
 */
export class SimulatedSelector implements Selector {
  readonly kind = "simulated";
  readonly descriptor = -1;
  readonly events = new Uint32Array(EVENT_CAPACITY * EVENT_WORDS);
  readonly seed: number;
  private readonly random: () => number;
  private timeMs = 0;
  private lastDescriptor = maxDescriptors() + 1;
  private lastIndex = 0;
  /** What the descriptors are ready for: bits of `Readiness`. */
  private readonly readiness = new Map<AsyncFD, number>();
  private readonly registrations = new Map<number, { readonly fd: AsyncFD; interest: number }>();

  /** @param seed as in {@link SimulationOptions} */
  constructor(seed: number) {
    requireInteger(seed, 0, 2 ** 32 - 1);
    this.seed = seed;
    this.random = randomNumbers(seed);
  }

  /** Milliseconds since the beginning: what has been waited for, and {@link advance}d. */
  now(): number {
    return this.timeMs;
  }

  /**
   * Lets time pass, as work that takes long does. Timers that become due fire in the next poll.
   *
   * @throws ValueError when `ms` is negative, NaN or infinite; TypeError for a wrong type
   */
  advance(ms: number): void {
    if (requireDelay(ms) < 0) throw new ValueError(`Time cannot go back by ${-ms} ms`);
    this.timeMs += ms;
  }

  /**
   * A new descriptor, ready for nothing, which `register` and the like take. Its number is large, and none of an open
   * descriptor of the system.
   *
   * @throws IOSelectorsException when there is no such number left
   */
  openDescriptor(): AsyncFD {
    do this.lastDescriptor -= 1;
    while (isOpen(this.lastDescriptor));
    if (this.lastDescriptor < 0) throw new IOSelectorsException("Maximum number of descriptors is exhausted!");
    const fd = this.lastDescriptor as AsyncFD;
    this.readiness.set(fd, 0);
    return fd;
  }

  /**
   * Makes a descriptor readable, until it is made unreadable again: the next polls call who waits for that.
   *
   * @throws ValueError when it is none of {@link openDescriptor}; TypeError for a wrong type
   */
  setReadable(fd: AsyncFD, isReadable = true): void {
    this.setReadiness(fd, Readiness.read, isReadable);
  }

  /** As {@link setReadable}, for writing. */
  setWritable(fd: AsyncFD, isWritable = true): void {
    this.setReadiness(fd, Readiness.write, isWritable);
  }

  /** As {@link setReadable}, for an error or the end of the peer: calls who waits for either direction. */
  setFailed(fd: AsyncFD, isFailed = true): void {
    this.setReadiness(fd, Readiness.failed, isFailed);
  }

  private setReadiness(fd: AsyncFD, bit: number, isSet: boolean): void {
    if (typeof isSet !== "boolean") throw new TypeError(`Expected true or false, got ${typeName(isSet)}`);
    const before = this.readiness.get(fd);
    if (before === undefined) throw new ValueError(`${fd} is not a simulated descriptor`);
    this.readiness.set(fd, isSet ? before | bit : before & ~bit);
  }

  /** @throws IOSelectorsException for all but what {@link openDescriptor} gave: also sockets, events and processes */
  register(fd: AsyncFD, handle: Handle): void {
    if (!this.readiness.has(fd)) throw new IOSelectorsException(`Descriptor ${fd} is not a simulated one`);
    this.lastIndex += 1;
    handle.index = this.lastIndex;
    handle.generation = 0;
    this.registrations.set(handle.index, { fd, interest: 0 });
  }

  setInterest({ index }: Handle, interest: number): void {
    const registration = this.registrations.get(index);
    if (registration === undefined) throw new IOSelectorsException("The descriptor's registration is gone");
    registration.interest = interest;
  }

  unregister({ index }: Handle): void {
    this.registrations.delete(index);
  }

  /** @throws AssertionDefect when it would wait for ever */
  wait(timeoutMs: number, limit: number): number {
    const ready = shuffled(this.readyEvents(), this.random);
    if (ready.length === 0) {
      const isEndless = timeoutMs < 0 || timeoutMs === Infinity;
      if (isEndless) throw new AssertionDefect("Nothing can happen any more: no timer, and no descriptor is ready");
      this.timeMs += timeoutMs;
      return 0;
    }
    this.timeMs += READY_WAIT_MS;
    const count = Math.min(limit, 1 + Math.floor(this.random() * ready.length));
    this.events.set(ready.slice(0, count).flat());
    return count;
  }

  private readyEvents(): number[][] {
    return [...this.registrations]
      .filter(([, { interest }]) => interest !== 0)
      .map(([index, { fd, interest }]) => [index, 0, (this.readiness.get(fd) ?? 0) & (interest | Readiness.failed)])
      .filter(([, , readiness]) => readiness !== 0);
  }

  close(): void {
    this.registrations.clear();
  }

  abandon(): void {
    this.close();
  }
}

/**
 * A dispatcher for tests, on a virtual clock: it never waits, as its clock jumps to when the next timer is due.
 * Bun's loop does not drive it, only `poll`, `waitFor` and the like do.
 */
export class SimulatedDispatcher extends Dispatcher {
  readonly simulation: SimulatedSelector;

  constructor(simulation: SimulatedSelector) {
    super(simulation);
    this.simulation = simulation;
  }
}

/**
 * Runs `body` with a {@link SimulatedDispatcher} as the global one, which is closed after it; the one before is the
 * global one again then. What the body returns is waited for, when it is a future or a promise, on the virtual clock.
 *
 * @returns the value of the body, or of what it returned
 * @throws the error of the body, else of a callback as it is closed
 * @throws ValueError and AssertionDefect of `waitFor` when what it returned can never finish; beside a periodic timer,
 *   or a descriptor that stays ready, it does not notice
 * @throws AssertionDefect while callbacks are queued in the dispatcher before
 * @throws ValueError, TypeError when the options or the seed are none
 * @example
 * test("gives up after an hour", () =>
 *   simulate(async (simulation) => {
 *     expect(await withTimeout(newFuture("never"), 3_600_000)).toBe(false);
 *     expect(simulation.now()).toBe(3_600_000);
 *   }));
 */
export function simulate<T>(body: (simulation: SimulatedSelector) => T, options?: SimulationOptions): Awaited<T> {
  if (typeof body !== "function") throw new TypeError(`Expected a function, got ${typeName(body)}`);
  // What was begun before goes on where it was begun.
  drainMicrotasks();
  const former = getGlobalDispatcher();
  const dispatcher = newSimulatedDispatcher(options);
  setGlobalDispatcher(dispatcher);
  try {
    const result = body(dispatcher.simulation);
    const value = (isAwaitable(result) ? waitFor(result) : result) as Awaited<T>;
    dispatcher.close();
    return value;
  } catch (error) {
    // An error of its own would hide this one.
    closeQuietly(dispatcher);
    throw error;
  } finally {
    setGlobalDispatcher(former);
  }
}

function closeQuietly(dispatcher: Dispatcher): void {
  try {
    dispatcher.close();
  } catch {}
}

function isAwaitable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | null | undefined)?.then === "function";
}

/**
 * A {@link SimulatedDispatcher} of its own, not yet the global one; {@link simulate} takes care of the rest.
 *
 * @throws ValueError, TypeError when the options or the seed are none
 */
export function newSimulatedDispatcher(options: SimulationOptions = {}): SimulatedDispatcher {
  requireOptions(options);
  const { seed = 0 } = options;
  return new SimulatedDispatcher(new SimulatedSelector(seed));
}

function isOpen(descriptor: number): boolean {
  try {
    fstatSync(descriptor);
    return true;
  } catch {
    return false;
  }
}

function shuffled<T>(items: T[], random: () => number): T[] {
  const keyed = items.map((item) => ({ item, key: random() }));
  return keyed.toSorted((a, b) => a.key - b.key).map(({ item }) => item);
}

/** Numbers from 0 to below 1 that depend on `seed` alone: mulberry32, good enough to choose by. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
