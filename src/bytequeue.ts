const EMPTY = Buffer.alloc(0);

const LINE_FEED = 10;

/** Bytes that have been received and not been asked for yet. An empty one holds no memory. */
export class ByteQueue {
  private memory = EMPTY;
  private start = 0;
  private end = 0;
  /** How many bytes from the start are known to have no line feed among them. */
  private searched = 0;

  get length(): number {
    return this.end - this.start;
  }

  /** Copies `size` bytes of `bytes` to the end. */
  append(bytes: Buffer, size: number): void {
    if (this.memory.length - this.end < size) this.makeRoom(size);
    bytes.copy(this.memory, this.end, 0, size);
    this.end += size;
  }

  /** The byte at an index, which must be below the length. */
  at(index: number): number {
    return this.memory[this.start + index] as number;
  }

  /** Where the first line feed is, -1 without one. No byte is looked at twice. */
  findLineFeed(): number {
    const found = this.memory.indexOf(LINE_FEED, this.start + this.searched);
    // What is behind the end is of no account.
    const index = found === -1 || found >= this.end ? -1 : found - this.start;
    this.searched = index === -1 ? this.length : index;
    return index;
  }

  /** The first bytes as text. */
  text(size: number): string {
    return this.memory.toString("utf8", this.start, this.start + size);
  }

  /** A copy of the first bytes, which stay. */
  copy(size: number): Buffer {
    const copy = Buffer.allocUnsafeSlow(size);
    this.memory.copy(copy, 0, this.start, this.start + size);
    return copy;
  }

  /** Copies the first bytes, which stay. */
  copyInto(target: Uint8Array, size: number): void {
    this.memory.copy(target, 0, this.start, this.start + size);
  }

  /** Takes the first bytes out. */
  take(size: number): Buffer {
    const isWhole = this.start === 0 && size === this.memory.length;
    const taken = isWhole ? this.memory : this.copy(size);
    this.skip(size);
    return taken;
  }

  /** Takes the first bytes out, unread. */
  skip(size: number): void {
    this.start += size;
    this.searched = Math.max(0, this.searched - size);
    if (this.start === this.end) this.clear();
  }

  clear(): void {
    this.memory = EMPTY;
    this.start = 0;
    this.end = 0;
    this.searched = 0;
  }

  private makeRoom(size: number): void {
    const { length } = this;
    const needed = length + size;
    // Exact for the first bytes: they are mostly taken as they came, and then the memory is given away with them.
    const capacity = length === 0 ? size : Math.max(needed, 2 * length);
    const memory = Buffer.allocUnsafeSlow(capacity);
    this.memory.copy(memory, 0, this.start, this.end);
    this.memory = memory;
    this.start = 0;
    this.end = length;
  }
}
