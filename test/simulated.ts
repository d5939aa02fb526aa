import { Readiness } from "../src/native/abi.ts";
import { type AsyncFD, EVENT_WORDS, type Handle, type Selector } from "../src/native/selector.ts";

/** A selector whose clock and whose descriptors' readiness a test decides. */
export class SimulatedSelector implements Selector {
  readonly kind = "epoll";
  readonly descriptor = -1;
  readonly events = new Uint32Array(64 * EVENT_WORDS);
  /** The time, in milliseconds; {@link wait} moves it. */
  time = 0;
  /** The waits that there were: how long each might take. */
  readonly waits: number[] = [];
  /** The descriptors that the next waits find ready, level-triggered: bits of `Readiness`. */
  readonly ready = new Map<AsyncFD, number>();
  private readonly registrations = new Map<number, { fd: AsyncFD; generation: number; interest: number }>();
  private lastIndex = 0;

  register(fd: AsyncFD, handle: Handle): void {
    handle.index = ++this.lastIndex;
    handle.generation = 1;
    this.registrations.set(handle.index, { fd, generation: handle.generation, interest: 0 });
  }

  setInterest(handle: Handle, interest: number): void {
    const registration = this.registrations.get(handle.index);
    if (registration === undefined) throw new Error("not registered");
    registration.interest = interest;
  }

  unregister(handle: Handle): void {
    if (!this.registrations.delete(handle.index)) throw new Error("not registered");
  }

  wait(timeoutMs: number, limit: number): number {
    this.waits.push(timeoutMs);
    let count = 0;
    for (const [index, { fd, generation, interest }] of this.registrations) {
      if (count === limit) break;
      const readiness = (this.ready.get(fd) ?? 0) & (interest | (interest === 0 ? 0 : Readiness.failed));
      if (readiness === 0) continue;
      this.events.set([index, generation, readiness], EVENT_WORDS * count++);
    }
    if (count === 0) this.time += timeoutMs;
    return count;
  }

  now(): number {
    return this.time;
  }

  close(): void {}

  abandon(): void {}
}
