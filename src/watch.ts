import type { AsyncFD, Handle } from "./native/selector.ts";
import type { WaiterRing } from "./waiters.ts";

/** A registered descriptor: its handle in the selector and who waits for it. */
export class Watch implements Handle {
  readonly fd: AsyncFD;
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
  /** Operations that completed in a row without the loop having looked at the descriptor. */
  synchronousCompletions = 0;

  constructor(fd: AsyncFD) {
    this.fd = fd;
  }
}
