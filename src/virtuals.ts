import type { AsyncFD } from "./native/selector.ts";

/** What a virtual descriptor stands for: a timer, a process, a signal. */
export interface VirtualSource {
  /** Stops it; its callback is not called again. */
  stop(): void;
}

const SLOT_LIMIT = 2 ** 26;
const GENERATION_LIMIT = 2 ** 26;

/**
 * Negative descriptors for what the operating system has none for. A number names its slot and the slot's
 * generation, so that it is not given out again while anybody may still have it.
 */
export class VirtualDescriptors {
  private readonly sources: (VirtualSource | undefined)[] = [];
  private readonly generations: number[] = [];
  private readonly freeSlots: number[] = [];

  add(source: VirtualSource): AsyncFD {
    const slot = this.freeSlots.pop() ?? this.sources.length;
    if (slot === SLOT_LIMIT) throw new RangeError(`More than ${SLOT_LIMIT} virtual descriptors`);
    this.sources[slot] = source;
    this.generations[slot] ??= 0;
    // -1 means "no descriptor" everywhere.
    return this.numberOf(slot);
  }

  has(fd: AsyncFD): boolean {
    return this.slotOf(fd) !== undefined;
  }

  /** Takes a descriptor out and gives what it stood for; undefined when it stands for nothing any more. */
  remove(fd: AsyncFD): VirtualSource | undefined {
    const slot = this.slotOf(fd);
    if (slot === undefined) return undefined;
    const source = this.sources[slot];
    this.sources[slot] = undefined;
    this.generations[slot] = ((this.generations[slot] as number) + 1) % GENERATION_LIMIT;
    this.freeSlots.push(slot);
    return source;
  }

  /** Takes all of them out. */
  removeAll(): VirtualSource[] {
    const removed = this.sources.filter((source) => source !== undefined);
    for (const [slot, source] of this.sources.entries()) {
      if (source !== undefined) this.remove(this.numberOf(slot));
    }
    return removed;
  }

  private numberOf(slot: number): AsyncFD {
    return -(slot + (this.generations[slot] as number) * SLOT_LIMIT + 2) as AsyncFD;
  }

  private slotOf(fd: AsyncFD): number | undefined {
    const id = -fd - 2;
    const slot = id % SLOT_LIMIT;
    return this.sources[slot] !== undefined && this.generations[slot] === Math.floor(id / SLOT_LIMIT)
      ? slot
      : undefined;
  }
}
