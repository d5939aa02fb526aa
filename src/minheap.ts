/** A binary min-heap of numbers. */
export class MinHeap {
  private readonly numbers: number[] = [];

  get size(): number {
    return this.numbers.length;
  }

  /** The smallest number; the heap must not be empty. */
  get first(): number {
    return this.numbers[0] as number;
  }

  push(number: number): void {
    const { numbers } = this;
    let at = numbers.length;
    for (let parent = (at - 1) >> 1; at > 0 && number < (numbers[parent] as number); parent = (at - 1) >> 1) {
      numbers[at] = numbers[parent] as number;
      at = parent;
    }
    numbers[at] = number;
  }

  /** Takes the smallest number out; the heap must not be empty. */
  pop(): number {
    const { numbers, first } = this;
    const last = numbers.pop() as number;
    if (numbers.length > 0) this.sink(last);
    return first;
  }

  /** Puts a number into the hole at the top. */
  private sink(number: number): void {
    const { numbers } = this;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < numbers.length && (numbers[child + 1] as number) < (numbers[child] as number)) child += 1;
      if (child >= numbers.length || number <= (numbers[child] as number)) break;
      numbers[at] = numbers[child] as number;
      at = child;
    }
    numbers[at] = number;
  }
}
