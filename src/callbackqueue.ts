type QueuedCallback = (argument: never) => void;

/** A FIFO of callbacks with their arguments: a ring, so that nothing is allocated per entry. */
export class CallbackQueue {
  private callbacks: (QueuedCallback | undefined)[] = new Array(64).fill(undefined);
  private args: unknown[] = new Array(64).fill(undefined);
  private head = 0;
  private count = 0;

  get length(): number {
    return this.count;
  }

  push(callback: QueuedCallback, argument: unknown): void {
    if (this.count === this.callbacks.length) this.grow();
    const tail = (this.head + this.count++) & (this.callbacks.length - 1);
    this.callbacks[tail] = callback;
    this.args[tail] = argument;
  }

  /**
   * Takes the oldest entry out and calls it. What it throws leaves through here, with the rest still queued.
   * The queue must not be empty.
   */
  callNext(): void {
    const head = this.head;
    const callback = this.callbacks[head] as QueuedCallback;
    const argument = this.args[head];
    this.callbacks[head] = undefined;
    this.args[head] = undefined;
    this.head = (head + 1) & (this.callbacks.length - 1);
    this.count -= 1;
    callback(argument as never);
  }

  private grow(): void {
    const size = this.callbacks.length;
    this.callbacks = [...this.callbacks.slice(this.head), ...this.callbacks.slice(0, this.head)];
    this.args = [...this.args.slice(this.head), ...this.args.slice(0, this.head)];
    this.callbacks.length = 2 * size;
    this.args.length = 2 * size;
    this.callbacks.fill(undefined, size);
    this.args.fill(undefined, size);
    this.head = 0;
  }
}
