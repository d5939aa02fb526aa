// Descriptors that tests open, read, write and close behind the loop's back: through node:fs, and on Windows, where
// node:fs knows nothing of sockets, through the native library.
import {
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AsyncFD, bindAddr, getLocalAddr, register, SockAddr } from "../src/index.ts";
import { Domain, Option, SocketType } from "../src/native/abi.ts";
import { socket as native, succeeded } from "../src/native/socket.ts";

export const isWindows = process.platform === "win32";

/** What a test opened through the helpers, by descriptor: its inode, so that a reused number is left alone. */
const opened = new Map<number, number | undefined>();

if (isWindows) {
  // Sockets have no inodes there, but nothing else closes them.
  const symbols: { socket_close: typeof native.socket_close } = native;
  const close = native.socket_close;
  symbols.socket_close = Object.assign((fd: number) => {
    opened.delete(fd);
    return close(fd);
  }, close);
}

function inodeOf(fd: number): number | undefined {
  if (isWindows) return 0;
  try {
    return fstatSync(fd).ino;
  } catch {
    return undefined;
  }
}

/** Has a descriptor closed after the test, if it is still open then. */
export function closeAfterTest<D extends number>(fd: D): D {
  opened.set(fd, inodeOf(fd));
  return fd;
}

/** Closes what {@link closeAfterTest} was told. */
export function closeOpened(): void {
  for (const [fd, inode] of opened) {
    if (inode !== undefined && inodeOf(fd) === inode) closeDescriptor(fd);
  }
  opened.clear();
}

/** The open descriptors of this process, as `number -> what it is`; on Windows, the sockets among the first. */
export function openDescriptors(): string[] {
  if (isWindows) return openSockets();
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return `${fd} -> ${readlinkSync(`/proc/self/fd/${fd}`)}`;
    } catch {
      return []; // the descriptor that read the directory
    }
  });
}

function openSockets(): string[] {
  const type = new Int32Array(1);
  const numbers = Array.from({ length: 256 }, (_, index) => 4 * index + 4);
  return numbers.filter((fd) => native.socket_get_option(fd, Option.socketType, type) >= 0).map(String);
}

export function closeDescriptor(fd: number): void {
  if (isWindows) native.socket_close(fd);
  else closeSync(fd);
}

export function writeTo(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  if (isWindows) succeeded(native.socket_send(fd, bytes, bytes, 0, 0), "send");
  else writeSync(fd, bytes);
}

/** How many bytes were read. */
export function readFrom(fd: number, memory: Uint8Array): number {
  if (!isWindows) return readSync(fd, memory);
  return succeeded(native.socket_receive(fd, memory, memory, memory.length, 0), "recv");
}

/**
 * A FIFO's only descriptor, for reading and writing, non-blocking and not registered. On Windows, a datagram socket
 * that is connected with itself.
 */
export function openFifo(): AsyncFD {
  return isWindows ? openSelfConnected() : (openFifos(1)[0] as AsyncFD);
}

/** Several such descriptors of one FIFO: a byte in it makes them all readable. */
function openFifos(count: number): AsyncFD[] {
  return openWithFifo((path) =>
    Array.from({ length: count }, () =>
      closeAfterTest(openSync(path, constants.O_RDWR | constants.O_NONBLOCK) as AsyncFD),
    ),
  );
}

function openSelfConnected(): AsyncFD {
  const fd = succeeded(native.socket_open(Domain.inet, SocketType.datagram, 0, 0), "socket") as AsyncFD;
  closeAfterTest(fd);
  bindAddr(fd, "127.0.0.1", 0);
  succeeded(native.socket_connect(fd, SockAddr.of(...getLocalAddr(fd)).native.memory), "connect");
  return fd;
}

/** Both ends of a FIFO, non-blocking and not registered: closing the writer hangs the reader up. POSIX only. */
export function openFifoEnds(): { reader: AsyncFD; writer: AsyncFD } {
  return openWithFifo((path) => {
    const reader = closeAfterTest(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    const writer = closeAfterTest(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    return { reader: reader as AsyncFD, writer: writer as AsyncFD };
  });
}

/** A registered FIFO with a byte in it: readable until it is read. */
export function readableFifo(): AsyncFD {
  return readableFifos(1)[0] as AsyncFD;
}

/** Several registered descriptors that are all readable, and stay so until one is read. */
export function readableFifos(count: number): AsyncFD[] {
  const fds = isWindows ? Array.from({ length: count }, openSelfConnected) : openFifos(count);
  for (const fd of fds) register(fd);
  for (const fd of isWindows ? fds : fds.slice(0, 1)) writeTo(fd, "x");
  return fds;
}

/** A registered FIFO with nothing in it. */
export function emptyFifo(): AsyncFD {
  const fd = openFifo();
  register(fd);
  return fd;
}

function openWithFifo<D>(open: (path: string) => D): D {
  const directory = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
  try {
    const path = join(directory, "fifo");
    // Without pipes, whose ends Bun closes some time later.
    const { exitCode } = Bun.spawnSync(["mkfifo", path], { stdio: ["ignore", "ignore", "inherit"] });
    if (exitCode !== 0) throw new Error(`mkfifo ${path} failed`);
    return open(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
