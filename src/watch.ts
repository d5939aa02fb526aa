import type { AsyncFD, Handle } from "./native/selector.ts";

/** Whom a watch belongs to: its reactor. */
export interface WatchOwner {
  /** @internal Takes a waiter out that gives up; does nothing when it does not wait any more. */
  removeWaiter(watch: Watch, waiter: Waiter): void;
}

/** A registered descriptor: its handle in the selector and who waits for it. */
export class Watch implements Handle {
  readonly fd: AsyncFD;
  readonly owner: WatchOwner;
  index = 0;
  generation = 0;
  /** The interest that the selector has. It is lowered lazily, when an event arrives that nobody waits for. */
  armed = 0;
  /** Directions that are not armed for now although somebody may wait. */
  paused = 0;
  registered = true;
  readers: WaiterRing = undefined;
  writers: WaiterRing = undefined;
  /** Waiters in both rings, and the one that is being called. */
  waiterCount = 0;
  /** The last receive gave so much that the next is worth memory of its own. */
  receivesMuch = false;
  /** Operations that completed in a row without the loop having looked at the descriptor. */
  synchronousCompletions = 0;
  /** The last connection was accepted, or the last datagram received, at once: there may be another. */
  mayHaveMore = false;
  /** A socket that is known to be no stream. */
  keepsBoundaries = false;

  constructor(fd: AsyncFD, owner: WatchOwner) {
    this.fd = fd;
    this.owner = owner;
  }
}

/**
 * Somebody who waits for a descriptor to become readable or writable. Waiters are the links of their
 * {@link WaiterRing} themselves, so that waiting costs no further object.
 */
export interface Waiter {
  /** The next one of its ring. */
  following: Waiter | undefined;
  /** When it was added, counted in waiters; tells those of this round from those added during it. */
  sequence: number;
  /** What it waits for, once it has been added. */
  watch: Watch | undefined;

  /** The descriptor is ready: true when the waiter is done, false when it goes on waiting. */
  ready(watch: Watch): boolean;

  /**
   * The descriptor goes away: fails what waits, without a system call. False when this waiter cannot be told
   * so: it is a plain callback.
   */
  abandon(error: Error): boolean;
}

/** Called with the descriptor: `true` removes the watch, `false` keeps it. Nim: `Callback`. */
export type Callback = (fd: AsyncFD) => boolean;

/** A callback of `addRead` or `addWrite`. */
export class CallbackWaiter implements Waiter {
  following: Waiter | undefined = undefined;
  sequence = 0;
  watch: Watch | undefined = undefined;
  private readonly callback: Callback;

  constructor(callback: Callback) {
    this.callback = callback;
  }

  ready({ fd }: Watch): boolean {
    return this.callback(fd) === true;
  }

  abandon(): boolean {
    return false;
  }
}

/**
 * The waiters of one descriptor in one direction, oldest first: a ring, known by its last one, whose `following`
 * is the first. An idle connection so pays for no list.
 */
export type WaiterRing = Waiter | undefined;

/** The ring with `waiter` at its end. */
export function append(ring: WaiterRing, waiter: Waiter): WaiterRing {
  prepend(ring, waiter);
  return waiter;
}

/** The ring with `waiter` at its front. */
export function prepend(ring: WaiterRing, waiter: Waiter): WaiterRing {
  if (ring === undefined) {
    waiter.following = waiter;
    return waiter;
  }
  waiter.following = ring.following;
  ring.following = waiter;
  return ring;
}

/** The ring without its first waiter. */
export function withoutFirst(ring: Waiter): WaiterRing {
  const first = ring.following as Waiter;
  const rest = first === ring ? undefined : ring;
  ring.following = first.following;
  first.following = undefined;
  return rest;
}

/** The ring without `waiter`; undefined when it was the only one, the same ring when it is not in it. */
export function without(ring: WaiterRing, waiter: Waiter): WaiterRing {
  const rest = takeAll(ring).filter((other) => other !== waiter);
  return rest.reduce(append, undefined as WaiterRing);
}

/** The waiters of a ring in order, each taken out of it. */
export function takeAll(ring: WaiterRing): Waiter[] {
  const waiters: Waiter[] = [];
  for (let rest = ring; rest !== undefined; ) {
    waiters.push(rest.following as Waiter);
    rest = withoutFirst(rest);
  }
  return waiters;
}
