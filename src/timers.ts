/** What a timer finishes: `complete` when it is due, `fail` when it never will be. A `Future<void>` is one. */
export interface TimerTarget {
  complete(): void;
  fail(error: Error): void;
}

/** Names one timer of a {@link TimerHeap}: its slot, and the generation that tells it from an older one there. */
export type TimerId = number;

const SLOT_LIMIT = 2 ** 26;
const GENERATION_LIMIT = 2 ** 26;
const ARITY = 4;

/**
 * The timers of a dispatcher: a 4-ary heap in typed arrays, ordered by deadline and, on ties, by age.
 * `add` and `cancel` take O(log n), reading the next deadline O(1).
 */
export class TimerHeap {
  // By position in the heap:
  private deadlines = new Float64Array(64);
  private ages = new Float64Array(64);
  private slots = new Uint32Array(64);
  // By slot:
  private positions = new Uint32Array(64);
  private generations = new Uint32Array(64);
  private readonly targets: (TimerTarget | undefined)[] = [];
  private readonly freeSlots: number[] = [];
  private count = 0;
  private lastAge = 0;

  get size(): number {
    return this.count;
  }

  /** The earliest deadline, `Infinity` without timers. */
  get nextDeadline(): number {
    return this.count === 0 ? Infinity : (this.deadlines[0] as number);
  }

  /** @param deadline milliseconds on the clock whose time `popDue` is given */
  add(deadline: number, target: TimerTarget): TimerId {
    const slot = this.freeSlots.pop() ?? this.targets.length;
    if (slot === SLOT_LIMIT) throw new RangeError(`More than ${SLOT_LIMIT} timers`);
    if (slot === this.positions.length) this.grow();
    this.targets[slot] = target;
    this.lastAge += 1;
    this.siftUp(this.count++, deadline, this.lastAge, slot);
    return slot + (this.generations[slot] as number) * SLOT_LIMIT;
  }

  /** Removes a timer; false when it has fired or was cancelled before. */
  cancel(id: TimerId): boolean {
    const slot = id % SLOT_LIMIT;
    if (this.targets[slot] === undefined || this.generations[slot] !== Math.floor(id / SLOT_LIMIT)) return false;
    this.remove(this.positions[slot] as number);
    return true;
  }

  /** Removes and returns the earliest timer that is due at `now`, undefined when none is. */
  popDue(now: number): TimerTarget | undefined {
    if (this.count === 0 || (this.deadlines[0] as number) > now) return undefined;
    return this.remove(0);
  }

  private remove(position: number): TimerTarget {
    const slot = this.slots[position] as number;
    const target = this.targets[slot] as TimerTarget;
    this.targets[slot] = undefined;
    this.generations[slot] = ((this.generations[slot] as number) + 1) % GENERATION_LIMIT;
    this.freeSlots.push(slot);
    const last = --this.count;
    if (position < last) this.refill(position, last);
    return target;
  }

  /** Puts the entry at `last` into the hole at `position`. */
  private refill(position: number, last: number): void {
    const deadline = this.deadlines[last] as number;
    const age = this.ages[last] as number;
    const slot = this.slots[last] as number;
    if (position > 0 && this.isBefore(deadline, age, (position - 1) >> 2)) this.siftUp(position, deadline, age, slot);
    else this.siftDown(position, deadline, age, slot);
  }

  private siftUp(start: number, deadline: number, age: number, slot: number): void {
    let position = start;
    while (position > 0) {
      const parent = (position - 1) >> 2;
      if (!this.isBefore(deadline, age, parent)) break;
      this.move(parent, position);
      position = parent;
    }
    this.place(position, deadline, age, slot);
  }

  private siftDown(start: number, deadline: number, age: number, slot: number): void {
    let position = start;
    for (;;) {
      const child = this.earliestChild(position);
      if (child === -1 || this.isBefore(deadline, age, child)) break;
      this.move(child, position);
      position = child;
    }
    this.place(position, deadline, age, slot);
  }

  private earliestChild(position: number): number {
    const first = ARITY * position + 1;
    if (first >= this.count) return -1;
    const end = Math.min(first + ARITY, this.count);
    let best = first;
    for (let child = first + 1; child < end; child++) {
      if (this.isBefore(this.deadlines[child] as number, this.ages[child] as number, best)) best = child;
    }
    return best;
  }

  private isBefore(deadline: number, age: number, position: number): boolean {
    const other = this.deadlines[position] as number;
    return deadline < other || (deadline === other && age < (this.ages[position] as number));
  }

  private move(from: number, to: number): void {
    this.place(to, this.deadlines[from] as number, this.ages[from] as number, this.slots[from] as number);
  }

  private place(position: number, deadline: number, age: number, slot: number): void {
    this.deadlines[position] = deadline;
    this.ages[position] = age;
    this.slots[position] = slot;
    this.positions[slot] = position;
  }

  private grow(): void {
    const size = this.positions.length * 2;
    this.deadlines = enlarged(this.deadlines, new Float64Array(size));
    this.ages = enlarged(this.ages, new Float64Array(size));
    this.slots = enlarged(this.slots, new Uint32Array(size));
    this.positions = enlarged(this.positions, new Uint32Array(size));
    this.generations = enlarged(this.generations, new Uint32Array(size));
  }
}

function enlarged<A extends Float64Array | Uint32Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
