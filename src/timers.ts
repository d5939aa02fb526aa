import { MinHeap } from "./minheap.ts";

/** What a timer finishes: `complete` when it is due, `fail` when it never will be. A `Future<void>` is one. */
export interface TimerTarget {
  complete(): void;
  fail(error: Error): void;
  /** Keeps its place in the queue when it is due, until it is started again or cancelled. */
  readonly isRestartable?: boolean;
}

/** Names one timer: its slot, and the generation that tells it from an older one there. */
export type TimerId = number;

const NONE = -1;
const SLOT_LIMIT = 2 ** 26;
const GENERATION_LIMIT = 2 ** 25;

/** What is kept per slot, side by side for the cache's sake. */
const RECORD_WORDS = 4;
const GENERATION = 0;
/** Where in its bucket the timer is, or one of these; for a free slot, the next free one. */
const PLACE = 1;
const NEAR = -2;
const FIRED = -3;
/** When it was scheduled, counted in schedulings modulo 2 ** 32; tells a near entry that is not its any more. */
const AGE = 2;

/** Entries of timers: deadline, age and slot of each, in turn. */
type Entries = number[];
const ENTRY_WORDS = 3;

/** The timers of one millisecond, in no order. */
class Bucket {
  readonly entries: Entries = [];
  /** No timer of the bucket is earlier. */
  earliest = Infinity;
}

/**
 * The timers of a dispatcher, in order of their deadlines and, on ties, of their age. A timer waits in the bucket of
 * its millisecond; only when that millisecond has come are the bucket's timers sorted. `add` and `cancel` so take
 * O(1) whatever the number of timers, where a heap of all of them would miss the cache at every level.
 */
export class TimerQueue {
  private records = new Int32Array(64 * RECORD_WORDS);
  private readonly targets: (TimerTarget | undefined)[] = [];
  /** The millisecond of each slot's bucket. */
  private readonly tickOf: number[] = [];
  private firstFree = NONE;

  /** The entries whose millisecond has come, sorted; some may be of timers that are gone. */
  private near: Entries = [];
  private nearHead = 0;
  private nearTick = -Infinity;

  /** Buckets by millisecond. An emptied one stays until its time. */
  private readonly buckets = new Map<number, Bucket>();
  private readonly ticks = new MinHeap();

  private count = 0;
  private lastAge = 0;

  get size(): number {
    return this.count;
  }

  /** The earliest deadline, `Infinity` without timers. It may be early after a timer was cancelled. */
  get nextDeadline(): number {
    this.skipStale();
    if (this.nearHead < this.near.length) return this.near[this.nearHead] as number;
    for (; this.ticks.size > 0; this.takeFirstBucket()) {
      const bucket = this.buckets.get(this.ticks.first) as Bucket;
      if (bucket.entries.length > 0) return bucket.earliest;
    }
    return Infinity;
  }

  /** @param deadline milliseconds on the clock whose time `popDue` is given */
  add(deadline: number, target: TimerTarget): TimerId {
    const slot = this.takeSlot();
    this.targets[slot] = target;
    this.count += 1;
    this.schedule(slot, deadline);
    return slot + (this.records[slot * RECORD_WORDS + GENERATION] as number) * SLOT_LIMIT;
  }

  /** Starts a restartable timer again that was due; false when it has been cancelled since. */
  restart(id: TimerId, deadline: number): boolean {
    const slot = this.slotOf(id);
    if (slot === NONE || this.records[slot * RECORD_WORDS + PLACE] !== FIRED) return false;
    this.schedule(slot, deadline);
    return true;
  }

  /** Whether a timer is waiting, or restartable and due. */
  has(id: TimerId): boolean {
    return this.slotOf(id) !== NONE;
  }

  /** Removes a timer; false when it is not in the queue any more. */
  cancel(id: TimerId): boolean {
    const slot = this.slotOf(id);
    if (slot === NONE) return false;
    if ((this.records[slot * RECORD_WORDS + PLACE] as number) >= 0) this.removeFromBucket(slot);
    this.free(slot);
    return true;
  }

  /** Gives the earliest timer that is due at `now`, which is not waiting any more; undefined when none is due. */
  popDue(now: number): TimerTarget | undefined {
    this.skipStale();
    while (this.nearHead === this.near.length) {
      if (this.ticks.size === 0 || this.ticks.first > now) return undefined;
      this.bringFirstBucketNear();
    }
    if ((this.near[this.nearHead] as number) > now) return undefined;
    const slot = this.near[this.nearHead + 2] as number;
    const target = this.targets[slot] as TimerTarget;
    this.nearHead += ENTRY_WORDS;
    if (target.isRestartable === true) this.records[slot * RECORD_WORDS + PLACE] = FIRED;
    else this.free(slot);
    return target;
  }

  /** The slot of a timer in the queue, else NONE. */
  private slotOf(id: TimerId): number {
    const slot = id % SLOT_LIMIT;
    const isCurrent = this.records[slot * RECORD_WORDS + GENERATION] === Math.floor(id / SLOT_LIMIT);
    return isCurrent && this.targets[slot] !== undefined ? slot : NONE;
  }

  private takeSlot(): number {
    const free = this.firstFree;
    if (free !== NONE) {
      this.firstFree = this.records[free * RECORD_WORDS + PLACE] as number;
      return free;
    }
    const slot = this.targets.length;
    if (slot === SLOT_LIMIT) throw new RangeError(`More than ${SLOT_LIMIT} timers`);
    const words = slot * RECORD_WORDS;
    if (words === this.records.length) {
      const larger = new Int32Array(2 * words);
      larger.set(this.records);
      this.records = larger;
    }
    return slot;
  }

  private free(slot: number): void {
    const record = slot * RECORD_WORDS;
    this.targets[slot] = undefined;
    this.records[record + GENERATION] = ((this.records[record + GENERATION] as number) + 1) % GENERATION_LIMIT;
    this.records[record + PLACE] = this.firstFree;
    this.records[record + AGE] = 0;
    this.firstFree = slot;
    this.count -= 1;
  }

  private schedule(slot: number, deadline: number): void {
    const record = slot * RECORD_WORDS;
    const age = ++this.lastAge;
    const tick = Math.floor(deadline);
    this.records[record + AGE] = age;
    this.tickOf[slot] = tick;
    if (tick <= this.nearTick) {
      this.records[record + PLACE] = NEAR;
      this.insertNear(deadline, age, slot);
      return;
    }
    const bucket = this.bucketOf(tick);
    if (deadline < bucket.earliest) bucket.earliest = deadline;
    this.records[record + PLACE] = bucket.entries.length;
    bucket.entries.push(deadline, age, slot);
  }

  private bucketOf(tick: number): Bucket {
    let bucket = this.buckets.get(tick);
    if (bucket === undefined) {
      bucket = new Bucket();
      this.buckets.set(tick, bucket);
      this.ticks.push(tick);
    }
    return bucket;
  }

  /** The last entry of the bucket takes the place of the removed one. */
  private removeFromBucket(slot: number): void {
    const place = this.records[slot * RECORD_WORDS + PLACE] as number;
    const { entries } = this.buckets.get(this.tickOf[slot] as number) as Bucket;
    const last = entries.length - ENTRY_WORDS;
    if (place < last) {
      entries.copyWithin(place, last);
      this.records[(entries[place + 2] as number) * RECORD_WORDS + PLACE] = place;
    }
    entries.length = last;
  }

  private takeFirstBucket(): Bucket {
    const tick = this.ticks.pop();
    const bucket = this.buckets.get(tick) as Bucket;
    this.buckets.delete(tick);
    return bucket;
  }

  private bringFirstBucketNear(): void {
    this.nearTick = this.ticks.first;
    this.near = sorted(this.takeFirstBucket().entries);
    this.nearHead = 0;
    for (let at = 2; at < this.near.length; at += ENTRY_WORDS) {
      this.records[(this.near[at] as number) * RECORD_WORDS + PLACE] = NEAR;
    }
  }

  /** Timers whose millisecond has come already are mostly the latest of it, too. */
  private insertNear(deadline: number, age: number, slot: number): void {
    let at = this.near.length;
    while (at > this.nearHead && (this.near[at - ENTRY_WORDS] as number) > deadline) at -= ENTRY_WORDS;
    if (at === this.near.length) this.near.push(deadline, age, slot);
    else this.near.splice(at, 0, deadline, age, slot);
  }

  private skipStale(): void {
    const { near } = this;
    while (this.nearHead < near.length) {
      const record = (near[this.nearHead + 2] as number) * RECORD_WORDS;
      const isStale = this.records[record + AGE] !== ((near[this.nearHead + 1] as number) | 0);
      if (!isStale) return;
      this.nearHead += ENTRY_WORDS;
    }
    this.near.length = 0;
    this.nearHead = 0;
  }
}

/** The entries sorted by deadline and, on ties, by age: a merge sort, from runs of one upwards. */
function sorted(entries: Entries): Entries {
  let from = entries;
  let to: Entries = new Array(entries.length).fill(0);
  for (let run = ENTRY_WORDS; run < entries.length; run *= 2) {
    for (let start = 0; start < entries.length; start += 2 * run) merge(from, to, start, run);
    [from, to] = [to, from];
  }
  return from;
}

/** Merges the run at `start` and the one behind it, at most `run` words each. */
function merge(from: Entries, to: Entries, start: number, run: number): void {
  const middle = Math.min(start + run, from.length);
  const end = Math.min(start + 2 * run, from.length);
  let left = start;
  let right = middle;
  for (let at = start; at < end; at += ENTRY_WORDS) {
    const takesLeft = right >= end || (left < middle && isBefore(from, left, right));
    const source = takesLeft ? left : right;
    if (takesLeft) left += ENTRY_WORDS;
    else right += ENTRY_WORDS;
    to[at] = from[source] as number;
    to[at + 1] = from[source + 1] as number;
    to[at + 2] = from[source + 2] as number;
  }
}

function isBefore(entries: Entries, a: number, b: number): boolean {
  const first = entries[a] as number;
  const second = entries[b] as number;
  return first < second || (first === second && (entries[a + 1] as number) < (entries[b + 1] as number));
}
