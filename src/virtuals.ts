import type { AsyncFD } from "./native/selector.ts";
import type { TimerId, TimerQueue } from "./timers.ts";

/** What a virtual descriptor stands for: a process, a signal, a timer. */
export interface VirtualSource {
  /** Stops it; its callback is not called again. */
  stop(): void;
}

const SLOT_LIMIT = 2 ** 26;
const GENERATION_LIMIT = 2 ** 25;

/** The virtual descriptor of a timer: even, where the others are odd; -1 means "no descriptor" everywhere. */
export function timerDescriptor(id: TimerId): AsyncFD {
  return -(2 * id + 2) as AsyncFD;
}

function timerOf(fd: AsyncFD): TimerId | undefined {
  return fd < 0 && fd % 2 === 0 ? -fd / 2 - 1 : undefined;
}

/** A timer stops by leaving its queue. */
const stopped: VirtualSource = { stop() {} };

/**
 * Negative descriptors for what the operating system has none for. A number names its slot and the slot's
 * generation, so that it is not given out again while anybody may still have it. The numbers of timers are their
 * queue's.
 */
export class VirtualDescriptors {
  private readonly sources: (VirtualSource | undefined)[] = [];
  private readonly generations: number[] = [];
  private readonly freeSlots: number[] = [];
  private readonly timers: TimerQueue;
  private readonly cancelTimer: (id: TimerId) => boolean;

  constructor(timers: TimerQueue, cancelTimer: (id: TimerId) => boolean) {
    this.timers = timers;
    this.cancelTimer = cancelTimer;
  }

  add(source: VirtualSource): AsyncFD {
    const slot = this.freeSlots.pop() ?? this.sources.length;
    if (slot === SLOT_LIMIT) throw new RangeError(`More than ${SLOT_LIMIT} virtual descriptors`);
    this.sources[slot] = source;
    this.generations[slot] ??= 0;
    return this.numberOf(slot);
  }

  has(fd: AsyncFD): boolean {
    const timer = timerOf(fd);
    return timer === undefined ? this.slotOf(fd) !== undefined : this.timers.has(timer);
  }

  /** Takes a descriptor out and gives what it stood for; undefined when it stands for nothing any more. */
  remove(fd: AsyncFD): VirtualSource | undefined {
    const timer = timerOf(fd);
    if (timer !== undefined) return this.cancelTimer(timer) ? stopped : undefined;
    const slot = this.slotOf(fd);
    if (slot === undefined) return undefined;
    const source = this.sources[slot];
    this.sources[slot] = undefined;
    this.generations[slot] = ((this.generations[slot] as number) + 1) % GENERATION_LIMIT;
    this.freeSlots.push(slot);
    return source;
  }

  /** Takes all of them out, but for the timers. */
  removeAll(): VirtualSource[] {
    const removed = this.sources.filter((source) => source !== undefined);
    for (const [slot, source] of this.sources.entries()) {
      if (source !== undefined) this.remove(this.numberOf(slot));
    }
    return removed;
  }

  private numberOf(slot: number): AsyncFD {
    return -(2 * (slot + (this.generations[slot] as number) * SLOT_LIMIT) + 3) as AsyncFD;
  }

  private slotOf(fd: AsyncFD): number | undefined {
    const id = (-fd - 3) / 2;
    const slot = id % SLOT_LIMIT;
    return this.sources[slot] !== undefined && this.generations[slot] === Math.floor(id / SLOT_LIMIT)
      ? slot
      : undefined;
  }
}
