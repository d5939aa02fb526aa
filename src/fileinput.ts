import { constants, fstatSync, readFileSync, readSync, writeSync } from "node:fs";
import { receiveArena } from "./asyncdispatch/transfer.ts";
import { ByteQueue } from "./bytequeue.ts";
import { type ByteSource, type Reader, ReadLine } from "./bytereaders.ts";
import { OSError, ValueError } from "./errors.ts";
import { COST_UNIT, LaneOperation } from "./lane.ts";
import type { AsyncFD } from "./native/selector.ts";
import { errno, isWindows, notSupported } from "./native/socket.ts";

/** How much is read or written in one system call: while a disk is at it, the loop stands still. */
const CHUNK_SIZE = 128 * 1024;

/** How much is read at least, when a line is looked for. */
export const READ_AHEAD = 16 * 1024;

/** How much a blocking pipe surely takes once it is writable: a page (PIPE_BUF). */
const BLOCKING_WRITE_SIZE = 4096;

/** How a file was opened. */
export interface Opened {
  readonly path: string;
  readonly flags: number;
  readonly position: number;
}

/** What a descriptor is, and where it stands. */
export class FileDescriptor {
  readonly fd: AsyncFD;
  readonly path: string | undefined;
  /** A regular file or a block device: it has positions, and is always ready. */
  readonly isSeekable: boolean;
  /** Whether a call may have to wait for somebody, and a selector can tell when not. */
  readonly isWatchable: boolean;
  /** Whether calls on it come back at once by themselves. */
  readonly isNonBlocking: boolean;
  readonly appends: boolean;
  /** Where the next byte that is asked for comes from, or the next one goes to. */
  position: number;

  /** @throws OSError `EBADF` */
  constructor(fd: AsyncFD, opened?: Opened) {
    this.fd = fd;
    this.path = opened?.path;
    const status = this.call("fstat", () => fstatSync(fd));
    this.isSeekable = status.isFile() || status.isBlockDevice();
    this.isWatchable = !isWindows && !this.isSeekable;
    // No selector there knows of them.
    const mayBlock = status.isFIFO() || status.isCharacterDevice() || status.isSocket();
    if (isWindows && mayBlock) throw notSupported("read", { path: this.path });
    const { position, flags } = opened ?? readFdinfo(fd);
    this.isNonBlocking = (flags & constants.O_NONBLOCK) !== 0;
    this.appends = (flags & constants.O_APPEND) !== 0;
    this.position = this.appends ? status.size : position;
  }

  /** What a system call gives. @throws OSError */
  call<T>(syscall: string, body: () => T): T {
    for (;;) {
      try {
        return body();
      } catch (error) {
        const { errno: code } = error as { errno?: unknown };
        if (typeof code !== "number") throw error;
        if (-code !== errno.EINTR) throw new OSError(-code, syscall, { path: this.path });
      }
    }
  }

  /** How many bytes a transfer moved, or a negative errno. */
  transfer(body: () => number): number {
    for (;;) {
      try {
        return body();
      } catch (error) {
        const { errno: code } = error as { errno?: unknown };
        if (typeof code !== "number") throw error;
        if (-code !== errno.EINTR) return code;
      }
    }
  }
}

/** The system's position and flags of an open file; where it does not tell, those of a new blocking one. */
function readFdinfo(fd: AsyncFD): Omit<Opened, "path"> {
  try {
    const text = readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
    const [, position = "0"] = /^pos:\s*(\d+)/m.exec(text) ?? [];
    const [, flags = "0"] = /^flags:\s*([0-7]+)/m.exec(text) ?? [];
    return { position: Number(position), flags: Number.parseInt(flags, 8) };
  } catch {
    return { position: 0, flags: 0 };
  }
}

/** What was read of a file and not asked for yet. */
export class FileInput implements ByteSource {
  readonly input = new ByteQueue();
  private readonly file: FileDescriptor;

  constructor(file: FileDescriptor) {
    this.file = file;
  }

  fetch(reader: Reader<unknown>): number {
    const { file, input } = this;
    const memory = receiveArena();
    const size = reader instanceof ReadLine ? READ_AHEAD : Math.min(reader.wanted, CHUNK_SIZE);
    const position = file.isSeekable ? file.position + input.length : null;
    const result = file.transfer(() => readSync(file.fd, memory, 0, size, position));
    if (result > 0) input.append(memory, result);
    return result;
  }

  took(size: number): void {
    this.file.position += size;
  }

  failure(result: number): Error {
    return new OSError(-result, "read", { path: this.file.path });
  }

  isEnd(): boolean {
    return false;
  }
}

export class FileWrite extends LaneOperation<void> {
  private readonly source: FileInput;
  private readonly file: FileDescriptor;
  private readonly data: NodeJS.TypedArray | DataView;
  private readonly size: number;
  private written = 0;

  constructor(name: string, source: FileInput, file: FileDescriptor, data: NodeJS.TypedArray | DataView, size: number) {
    super(name);
    this.source = source;
    this.file = file;
    this.data = data;
    this.size = size;
  }

  override get cost(): number {
    return Math.ceil(Math.min(this.size - this.written, CHUNK_SIZE) / COST_UNIT);
  }

  take(): boolean {
    return this.finished;
  }

  advance(): boolean {
    const { data, file, written } = this;
    if (data.byteLength < this.size) {
      this.fail(new ValueError(`${this.fromProc}: the data was detached or shrank while waiting`));
      return true;
    }
    const most = file.isSeekable || file.isNonBlocking ? CHUNK_SIZE : BLOCKING_WRITE_SIZE;
    const size = Math.min(this.size - written, most);
    const position = file.isSeekable ? file.position : null;
    const result = file.transfer(() => writeSync(file.fd, data, written, size, position));
    if (result === -errno.EAGAIN) return false;
    if (result < 0) this.fail(new OSError(-result, "write", { path: file.path }));
    else this.wrote(result);
    return true;
  }

  private wrote(size: number): void {
    const { file } = this;
    // What was read ahead may be what was just overwritten.
    if (file.isSeekable) this.source.input.clear();
    file.position = file.appends && file.isSeekable ? fstatSync(file.fd).size : file.position + size;
    this.written += size;
    if (this.written >= this.size) this.complete();
  }
}
