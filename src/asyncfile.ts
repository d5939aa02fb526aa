import { constants, fstatSync, ftruncateSync } from "node:fs";
import { requireInteger } from "./asyncdispatch/sockets.ts";
import { bytesOf, MAX_TRANSFER_SIZE } from "./asyncdispatch/transfer.ts";
import { Future } from "./asyncfutures.ts";
import { async } from "./asyncmacro.ts";
import { FutureStream } from "./asyncstreams.ts";
import {
  type LineForms,
  MAX_LINE_LENGTH,
  ReadAll,
  ReadBytes,
  type Reader,
  ReadInto,
  ReadLine,
  requireView,
} from "./bytereaders.ts";
import { type CancelOption, hasSignal, withSignal } from "./cancellation.ts";
import { getGlobalDispatcher } from "./dispatcher.ts";
import { AssertionDefect, OSError, typeName, ValueError } from "./errors.ts";
import { FileDescriptor, FileInput, FileWrite, type Opened, READ_AHEAD } from "./fileinput.ts";
import { Lane } from "./lane.ts";
import { Readiness } from "./native/abi.ts";
import { closeFile, hasNativeFiles, openFile } from "./native/files.ts";
import type { AsyncFD } from "./native/selector.ts";
import { errno, isWindows } from "./native/socket.ts";
import type { Watch } from "./watch.ts";

/**
 * How a file is opened. `fmRead`: what there is, for reading. `fmWrite`: made or emptied, for writing.
 * `fmReadWrite`: made or emptied, for both. `fmReadWriteExisting`: what there is, for both. `fmAppend`: made if
 * need be, and every write goes to its end. Nim: `FileMode`.
 */
export const FileMode = {
  fmRead: "read",
  fmWrite: "write",
  fmReadWrite: "readWrite",
  fmReadWriteExisting: "readWriteExisting",
  fmAppend: "append",
} as const;
export type FileMode = (typeof FileMode)[keyof typeof FileMode];

const MODE_FLAGS: Record<FileMode, number> = {
  read: constants.O_RDONLY,
  write: constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC,
  readWrite: constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
  readWriteExisting: constants.O_RDWR,
  append: constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND,
};

/** Who may use a new file, before the process's umask. */
const PERMISSIONS = 0o664;

/** Options of {@link AsyncFile.readLine}. */
export interface FileLineOptions extends CancelOption {
  /** How many bytes a line may have at most; the rest of a longer one is the next line. */
  readonly maxLength?: number;
}

const LINE_FORMS: LineForms<null> = { empty: "", end: null };

/**
 * A file, a pipe, a FIFO or a terminal. Operations come one after another in the order in which they began; reading
 * and writing of what is no disk file do not wait for each other. A wrong argument is thrown; what is wrong with the
 * file is the failure of the future.
 *
 * What can be waited for never blocks the loop. Of a disk file it cannot be told whether the disk must be waited for:
 * it is read and written in place, 128 KiB at once, and the loop stands still meanwhile, as in Nim; between the parts
 * of much data, and of many operations, it has its turn. Up to there, operations are finished at return.
 *
 * A disk file has a position of its own here: that of the descriptor is where it begins, and is left alone. An
 * operation that is cancelled, or whose `signal` is aborted, loses no byte that it would have read, and may have
 * written a part. On Windows it is of a disk file alone: no selector there knows of the others. Nim: `AsyncFile`.
 *
 * @example
 * const count = async(function* (path: string) {
 *   using file = openAsync(path);
 *   let lines = 0;
 *   while ((yield* file.readLine()) !== null) lines += 1;
 *   return lines;
 * });
 */
export class AsyncFile implements Disposable {
  private readonly file: FileDescriptor;
  private readonly input: FileInput;
  private readonly reading: Lane;
  private readonly writing: Lane;
  private readonly dispatcher = getGlobalDispatcher();
  private readonly watch: Watch | undefined;
  private closed = false;

  /** @internal Use {@link openAsync} or {@link newAsyncFile}. */
  constructor(fd: AsyncFD, opened?: Opened) {
    this.file = new FileDescriptor(fd, opened);
    // A file's number is none that a selector of Windows knows.
    if (isWindows) this.watch = undefined;
    else this.watch = opened === undefined ? this.dispatcher.register(fd) : this.dispatcher.registerOpened(fd, true);
    this.input = new FileInput(this.file);
    const { isSeekable, isWatchable } = this.file;
    this.reading = new Lane(fd, Readiness.read, isWatchable);
    // Both move the position of a disk file.
    this.writing = isSeekable ? this.reading : new Lane(fd, Readiness.write, isWatchable);
  }

  /** The descriptor. Of a closed file it is a number that may name something else by now. */
  getFd(): AsyncFD {
    return this.file.fd;
  }

  /** Whether {@link close} was called. */
  isClosed(): boolean {
    return this.closed;
  }

  /**
   * Reads: of a disk file `size` bytes, fewer at its end; else what is there, and it waits until there is something.
   * An empty Buffer is the end: of a pipe or a FIFO, when nobody has it open for writing.
   *
   * @returns fails with an OSError: `EISDIR`, `EBADF` when the file is not open for reading or is closed meanwhile
   * @throws AssertionDefect when `size` is 0, as in Nim; ValueError when it is out of range; TypeError for a wrong type
   */
  read(size: number, options?: CancelOption): Future<Buffer> {
    requireInteger(size, 0, MAX_TRANSFER_SIZE);
    if (size === 0) throw new AssertionDefect("read: the size is 0");
    if (hasSignal(options)) return withSignal(options, () => this.read(size));
    const least = this.file.isSeekable ? size : 1;
    return this.startReading("read", () => new ReadBytes("read", this.input, 0, size, least));
  }

  /**
   * As {@link read}, into memory of the caller, which must stay as it is until the future is finished.
   *
   * @param size at most how many bytes; by default the whole buffer
   * @returns how many bytes, 0 at the end
   * @throws ValueError when `size` exceeds the buffer; TypeError for a wrong type
   */
  readBuffer(buffer: ArrayBufferView, size: number = buffer?.byteLength, options?: CancelOption): Future<number> {
    requireView(buffer);
    requireInteger(size, 0, Math.min(buffer.byteLength, MAX_TRANSFER_SIZE));
    if (hasSignal(options)) return withSignal(options, () => this.readBuffer(buffer, size));
    const least = this.file.isSeekable ? size : Math.min(size, 1);
    return this.startReading("readBuffer", () => new ReadInto("readBuffer", this.input, 0, buffer, size, least));
  }

  /**
   * Reads a line, as UTF-8, without its terminator: LF or CR LF; a CR elsewhere is a part of the line (Q18). An empty
   * line is `""` and the end is `null`. The last line may be without a terminator.
   *
   * Of a line of more than `maxLength` bytes it gives exactly so many, or up to 3 less where that would break a
   * character; the next line begins with the rest. It reads ahead: of a disk file, that does not count for the
   * position; what somebody else changes there in the meantime may be missed.
   *
   * @returns fails as {@link read} does
   * @throws ValueError when `maxLength` is not an integer of 1 or more; TypeError for a wrong type
   */
  readLine(options?: FileLineOptions): Future<string | null> {
    const isAbortable = hasSignal(options);
    const { maxLength = MAX_LINE_LENGTH } = options ?? {};
    requireInteger(maxLength, 1, MAX_TRANSFER_SIZE);
    if (isAbortable) return withSignal(options, (rest) => this.readLine(rest));
    return this.startReading("readLine", () => new ReadLine("readLine", this.input, 0, maxLength, LINE_FORMS));
  }

  /** Reads what is left. */
  readAll(options?: CancelOption): Future<Buffer> {
    if (hasSignal(options)) return withSignal(options, () => this.readAll());
    return this.startReading("readAll", () => new ReadAll("readAll", this.input, 0));
  }

  /**
   * Writes all of the data. Memory that is passed must stay as it is until the future is finished.
   *
   * @param data a string is written as UTF-8
   * @returns fails with an OSError: `ENOSPC`, `EPIPE` when nobody reads a pipe, `EBADF` when the file is not open for
   *   writing or is closed meanwhile
   * @throws TypeError for a wrong type
   */
  write(data: string | ArrayBufferView | ArrayBuffer, options?: CancelOption): Future<void> {
    const bytes = bytesOf(data);
    if (hasSignal(options)) return withSignal(options, () => this.write(data));
    return this.startWriting("write", bytes, bytes.byteLength);
  }

  /**
   * As {@link write}.
   *
   * @param size how many bytes of the buffer; by default all
   * @throws ValueError when `size` exceeds the buffer; TypeError for a wrong type
   */
  writeBuffer(buffer: ArrayBufferView, size: number = buffer?.byteLength, options?: CancelOption): Future<void> {
    requireView(buffer);
    requireInteger(size, 0, buffer.byteLength);
    if (hasSignal(options)) return withSignal(options, () => this.writeBuffer(buffer, size));
    return this.startWriting("writeBuffer", buffer as NodeJS.TypedArray | DataView, size);
  }

  /**
   * Where the next byte is read or written, in bytes. A file that is opened for appending stands at its end.
   *
   * @throws OSError `ESPIPE` for what has no positions; AssertionDefect when the file is closed
   */
  getFilePos(): number {
    this.requireSeekable("getFilePos");
    return this.file.position;
  }

  /**
   * Sets where the next byte is read or written; it may be behind the end. Operations must not be pending.
   *
   * @throws OSError `ESPIPE` for what has no positions
   * @throws AssertionDefect when the file is closed; ValueError for a negative position; TypeError for a wrong type
   */
  setFilePos(position: number): void {
    requireInteger(position, 0, Number.MAX_SAFE_INTEGER);
    this.requireSeekable("setFilePos");
    this.file.position = position;
    this.input.input.clear();
  }

  /**
   * How many bytes a disk file has.
   *
   * @throws OSError `ESPIPE` for what has no size; AssertionDefect when the file is closed
   */
  getFileSize(): number {
    this.requireSeekable("getFileSize");
    return this.file.call("fstat", () => fstatSync(this.file.fd)).size;
  }

  /**
   * Cuts the file, or lets it grow by zeros. The position stays. Nim: `setFileSize`.
   *
   * @throws OSError `EINVAL` when it is not open for writing or is no disk file
   * @throws AssertionDefect when the file is closed; ValueError for a negative size; TypeError for a wrong type
   */
  setFileSize(size: number): void {
    requireInteger(size, 0, Number.MAX_SAFE_INTEGER);
    this.requireOpen("setFileSize");
    this.file.call("ftruncate", () => ftruncateSync(this.file.fd, size));
    if (this.file.isSeekable) this.input.input.clear();
  }

  /** Closes the file; what waits for it fails with `EBADF`. The second call does nothing. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    const error = new OSError(errno.EBADF, "close", { path: this.file.path });
    this.reading.failAll(error);
    this.writing.failAll(error);
    this.input.input.clear();
    // A dispatcher that is closed, or a call of `unregister`, has forgotten it.
    if (this.watch?.registered) this.dispatcher.unregister(this.watch, error, hasNativeFiles);
    closeFile(this.file.fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Writes what comes out of a stream, until it ends.
   *
   * @returns fails with the error of the stream or of a write; TypeError when it is not a FutureStream is thrown
   */
  writeFromStream(stream: FutureStream<string | Uint8Array>): Future<void> {
    return pump(this, requireStream(stream));
  }

  /**
   * Reads into a stream until the end, 16 KiB at once, and ends the stream; an error ends it too, and fails the
   * future. A stream with a high-water mark is not filled faster than it is read.
   *
   * @throws TypeError when it is not a FutureStream
   */
  readToStream(stream: FutureStream<Uint8Array> | FutureStream<string | Uint8Array>): Future<void> {
    return pour(this, requireStream(stream) as FutureStream<Uint8Array>);
  }

  private startReading<T>(name: string, make: () => Reader<T>): Future<T> {
    return this.closed ? failed(name) : this.reading.start(make(), this.file.isNonBlocking);
  }

  private startWriting(name: string, bytes: NodeJS.TypedArray | DataView, size: number): Future<void> {
    if (this.closed) return failed(name);
    const { file, input } = this;
    return this.writing.start(new FileWrite(name, input, file, bytes, size), file.isNonBlocking);
  }

  private requireOpen(name: string): void {
    if (this.closed) throw closedDefect(name);
  }

  private requireSeekable(name: string): void {
    this.requireOpen(name);
    const { isSeekable, path } = this.file;
    if (!isSeekable) throw new OSError(errno.ESPIPE, "lseek", { path });
  }
}

function closedDefect(name: string): AssertionDefect {
  return new AssertionDefect(`Cannot \`${name}\` on a closed file`);
}

function failed<T>(name: string): Future<T> {
  const future = new Future<T>(name);
  future.fail(closedDefect(name));
  return future;
}

const pump = async(function* writeFromStream(file: AsyncFile, stream: FutureStream<string | Uint8Array>) {
  for (;;) {
    const [more, part] = yield* stream.read();
    if (!more) return;
    yield* file.write(part);
  }
});

const pour = async(function* readToStream(file: AsyncFile, stream: FutureStream<Uint8Array>) {
  try {
    for (;;) {
      const part = yield* file.read(READ_AHEAD);
      if (part.length === 0) break;
      yield* stream.write(part);
    }
  } catch (error) {
    if (!stream.finished && !stream.failed) stream.fail(error as Error);
    throw error;
  }
  stream.complete();
});

function requireStream<S>(stream: S): S {
  if (!(stream instanceof FutureStream)) throw new TypeError(`Expected a FutureStream, got ${typeName(stream)}`);
  return stream;
}

/**
 * Opens a file, without waiting and not inherited by children. A FIFO is opened at once: for reading also when nobody
 * has it open for writing, and it then is at its end; for writing it needs a reader (`ENXIO`). Nim: `openAsync`.
 *
 * @throws OSError `ENOENT`, `EACCES`, `EISDIR` and the like, with the `path`; on Windows `ENOTSUP` for a pipe or a
 *   terminal
 * @throws ValueError for an unknown mode or a path with a NUL in it; TypeError for a wrong type
 */
export function openAsync(path: string, mode: FileMode = FileMode.fmRead): AsyncFile {
  if (typeof path !== "string") throw new TypeError(`Expected a path, got ${typeName(path)}`);
  if (path.includes("\0")) throw new ValueError("A path cannot have a NUL in it");
  if (typeof mode !== "string") throw new TypeError(`Expected a file mode, got ${typeName(mode)}`);
  if (!Object.hasOwn(MODE_FLAGS, mode)) throw new ValueError(`"${mode}" is not a file mode`);
  const flags = MODE_FLAGS[mode] | constants.O_NONBLOCK | constants.O_NOCTTY;
  const fd = openFile(path, flags, PERMISSIONS);
  try {
    return new AsyncFile(fd, { path, flags, position: 0 });
  } catch (error) {
    closeFile(fd);
    throw error;
  }
}

/**
 * Makes an AsyncFile of an open descriptor, which it closes from now on, and registers it with the global dispatcher.
 * Its blocking mode stays as it is; what blocks is only read or written when the selector says that it is ready.
 *
 * @throws AssertionDefect `Descriptor N already registered`
 * @throws OSError `EBADF` when it is not open, on Windows `ENOTSUP` for a pipe or a terminal
 * @throws TypeError, ValueError when it is no descriptor at all
 */
export function newAsyncFile(fd: AsyncFD): AsyncFile {
  requireInteger(fd, 0, 2 ** 31 - 1);
  return new AsyncFile(fd);
}
