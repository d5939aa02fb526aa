import type { ByteQueue } from "./bytequeue.ts";
import { typeName, ValueError } from "./errors.ts";
import { COST_UNIT, LaneOperation } from "./lane.ts";
import { errno } from "./native/socket.ts";

/** The longest line by default, in bytes. Nim: `MaxLineLength`. */
export const MAX_LINE_LENGTH = 1_000_000;

const CARRIAGE_RETURN = 13;

/** The most bytes of a character in UTF-8. */
const LONGEST_CHARACTER = 4;

/** What the largest call costs. */
const LARGEST_COST = 32;

/** Where the readers get their bytes. */
export interface ByteSource {
  /** What was received and not taken yet. */
  readonly input: ByteQueue;

  /** Makes one system call, which adds to the input: how many bytes, 0 at the end, or a negative errno. */
  fetch(reader: Reader<unknown>): number;

  /** Takes note that a reader took the first bytes out. */
  took(size: number): void;

  /** The error for a negative errno. */
  failure(result: number): Error;

  /** Whether an errno counts as the end for this reader. */
  isEnd(reader: Reader<unknown>, result: number): boolean;
}

/** An operation that takes bytes out of the input of a source, and nothing before it has all that it wants. */
export abstract class Reader<T> extends LaneOperation<T> {
  readonly flags: number;
  protected readonly source: ByteSource;

  constructor(name: string, source: ByteSource, flags: number) {
    super(name);
    this.source = source;
    this.flags = flags;
  }

  /** How many bytes more it has use for, as far as it knows. */
  abstract get wanted(): number;

  override get cost(): number {
    return Math.min(LARGEST_COST, Math.ceil(this.wanted / COST_UNIT));
  }

  take(): boolean {
    return this.finish(false);
  }

  advance(): boolean {
    const result = this.source.fetch(this);
    if (result > 0) this.finish(false);
    else if (result === -errno.EAGAIN) return false;
    else if (result === 0 || this.source.isEnd(this, result)) this.finish(true);
    else this.fail(this.source.failure(result));
    return true;
  }

  /** Finishes it with the input, if that is enough; at the end it always is. */
  protected abstract finish(atEnd: boolean): boolean;

  protected skip(size: number): void {
    this.source.input.skip(size);
    this.source.took(size);
  }
}

/** Gives at least `least` bytes and at most `size`; fewer at the end. */
export class ReadBytes extends Reader<Buffer> {
  private readonly size: number;
  private readonly least: number;
  private readonly peeks: boolean;

  constructor(name: string, source: ByteSource, flags: number, size: number, least: number, peeks = false) {
    super(name, source, flags);
    this.size = size;
    this.least = least;
    this.peeks = peeks;
  }

  get wanted(): number {
    return this.size - this.source.input.length;
  }

  protected finish(atEnd: boolean): boolean {
    const { input } = this.source;
    if (input.length < this.least && !atEnd) return false;
    const size = Math.min(input.length, this.size);
    if (this.peeks) {
      this.complete(input.copy(size));
    } else {
      this.complete(input.take(size));
      this.source.took(size);
    }
    return true;
  }
}

/** As {@link ReadBytes}, into memory of the caller; gives how many bytes. */
export class ReadInto extends Reader<number> {
  private readonly target: ArrayBufferView;
  private readonly size: number;
  private readonly least: number;
  private readonly peeks: boolean;

  constructor(
    name: string,
    source: ByteSource,
    flags: number,
    target: ArrayBufferView,
    size: number,
    least: number,
    peeks = false,
  ) {
    super(name, source, flags);
    this.target = target;
    this.size = size;
    this.least = least;
    this.peeks = peeks;
  }

  get wanted(): number {
    return this.size - this.source.input.length;
  }

  protected finish(atEnd: boolean): boolean {
    const { input } = this.source;
    if (input.length < this.least && !atEnd) return false;
    const { buffer, byteOffset, byteLength } = this.target;
    if (byteLength < this.size) {
      this.fail(new ValueError(`${this.fromProc}: the buffer was detached or shrank while waiting`));
      return true;
    }
    const size = Math.min(input.length, this.size);
    input.copyInto(new Uint8Array(buffer, byteOffset, byteLength), size);
    if (!this.peeks) this.skip(size);
    this.complete(size);
    return true;
  }
}

/** Gives everything up to the end. */
export class ReadAll extends Reader<Buffer> {
  readonly wanted = Infinity;

  protected finish(atEnd: boolean): boolean {
    if (!atEnd) return false;
    const size = this.source.input.length;
    this.complete(this.source.input.take(size));
    this.source.took(size);
    return true;
  }
}

/** What a {@link ReadLine} gives where there is no text. */
export interface LineForms<T> {
  /** For a line of nothing but its terminator. */
  readonly empty: string;
  /** For the end. */
  readonly end: T;
}

/**
 * Gives a line without its terminator, LF or CR LF. A CR elsewhere is a part of the line. The last line may have no
 * terminator. Of a line that is longer than `maxLength` bytes it gives so many, or less where that would break a
 * character; the rest is a line of its own. Only a character that does not fit by itself makes it longer.
 */
export class ReadLine<T> extends Reader<string | T> {
  private readonly maxLength: number;
  private readonly forms: LineForms<T>;

  constructor(name: string, source: ByteSource, flags: number, maxLength: number, forms: LineForms<T>) {
    super(name, source, flags);
    this.maxLength = maxLength;
    this.forms = forms;
  }

  get wanted(): number {
    // Two more tell whether a terminator follows; a character that does not fit needs the rest of its bytes.
    return this.maxLength + LONGEST_CHARACTER + 2 - this.source.input.length;
  }

  /** How many of the first `size` bytes that come next belong to this line. */
  usable(bytes: Buffer, size: number): number {
    const at = bytes.indexOf(10);
    return at === -1 || at >= size ? size : at + 1;
  }

  protected finish(atEnd: boolean): boolean {
    const { input } = this.source;
    const { limit } = this;
    const lineFeed = input.findLineFeed();
    if (lineFeed !== -1) {
      const size = lineFeed > 0 && input.at(lineFeed - 1) === CARRIAGE_RETURN ? lineFeed - 1 : lineFeed;
      if (size <= limit) return this.give(size, lineFeed + 1);
    } else if (input.length <= limit) {
      return atEnd && this.give(input.length, input.length);
    } else if (!atEnd && input.length === limit + 1 && input.at(limit) === CARRIAGE_RETURN) {
      // Half of the terminator has come of the longest line that is allowed.
      return false;
    }
    const cut = this.cut(limit);
    return this.give(cut, cut);
  }

  /** How long this line may be: as long as its first character at least. */
  private get limit(): number {
    const { maxLength } = this;
    const { input } = this.source;
    if (maxLength >= LONGEST_CHARACTER || input.length === 0) return maxLength;
    const size = characterSize(input.at(0));
    let end = 1;
    while (end < size && (end >= input.length || isContinuation(input.at(end)))) end += 1;
    return Math.max(maxLength, end);
  }

  /** Where a line is cut that is too long. */
  private cut(limit: number): number {
    const { input } = this.source;
    if (!isContinuation(input.at(limit))) return limit;
    let first = limit - 1;
    while (first > 0 && limit - first < LONGEST_CHARACTER - 1 && isContinuation(input.at(first))) first -= 1;
    // No character at all, or one that is complete: what follows is no text, and anywhere is as good.
    return first > 0 && first + characterSize(input.at(first)) > limit ? first : limit;
  }

  private give(size: number, consumed: number): true {
    if (consumed === 0) this.complete(this.forms.end);
    else this.complete(size === 0 ? this.forms.empty : this.source.input.text(size));
    this.skip(consumed);
    return true;
  }
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

/** How many bytes a character has that begins with this one; 1 of what begins none. */
function characterSize(byte: number): number {
  if (byte >= 0xf0 && byte < 0xf8) return 4;
  if (byte >= 0xe0 && byte < 0xf0) return 3;
  return byte >= 0xc0 && byte < 0xe0 ? 2 : 1;
}

/** @throws TypeError when it is none */
export function requireView(buffer: unknown): void {
  if (!ArrayBuffer.isView(buffer)) throw new TypeError(`Expected a typed array, got ${typeName(buffer)}`);
}
