// Descriptors that tests open, read, write and close behind the loop's back: through node:fs, and on Windows, where
// node:fs knows nothing of sockets, through the native library.
import { dlopen } from "bun:ffi";
import {
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AsyncFD, bindAddr, getLocalAddr, register, SockAddr } from "../src/index.ts";
import { Domain, Option, SocketType } from "../src/native/abi.ts";
import { custody } from "../src/native/custody.ts";
import { isWindows, socket as native, succeeded } from "../src/native/socket.ts";
import { handlesOf } from "./windows-process.ts";

export { isWindows };

const windows = isWindows ? openWindows() : undefined;

/** Wine's Windows, of which the one or other test must be spared. */
export const isWine = windows?.isWine ?? false;

function openWindows() {
  const { symbols: kernel32 } = dlopen("kernel32", {
    CreateEventW: { args: ["usize", "i32", "i32", "usize"], returns: "i32" },
    GetHandleInformation: { args: ["i32", "buffer"], returns: "i32" },
    GetModuleHandleA: { args: ["cstring"], returns: "usize" },
    GetProcAddress: { args: ["usize", "cstring"], returns: "usize" },
  });
  const { symbols: ws2_32 } = dlopen("ws2_32", { shutdown: { args: ["usize", "i32"], returns: "i32" } });
  const ntdll = kernel32.GetModuleHandleA(Buffer.from("ntdll\0"));
  const isWine = Number(kernel32.GetProcAddress(ntdll, Buffer.from("wine_get_version\0"))) !== 0;
  return { ...kernel32, ...ws2_32, isWine };
}

/** What a test opened through the helpers, by descriptor: its inode, so that a reused number is left alone. */
const opened = new Map<number, number | undefined>();
/** Sockets of Windows, which have no inodes. Nothing but the library closes them. */
const openedSockets = new Set<number>();

if (isWindows) {
  const symbols: { descriptor_close: typeof native.descriptor_close } = native;
  const close = native.descriptor_close;
  symbols.descriptor_close = Object.assign((thread: typeof custody.pointer, fd: number) => {
    openedSockets.delete(fd);
    return close(thread, fd);
  }, close);
}

function inodeOf(fd: number): number | undefined {
  try {
    return fstatSync(fd).ino;
  } catch {
    return undefined;
  }
}

/** Has a descriptor that can be waited for closed after the test, if it is still open then. */
export function closeAfterTest<D extends number>(fd: D): D {
  if (!isWindows) return closeFileAfterTest(fd);
  openedSockets.add(fd);
  return fd;
}

/** As {@link closeAfterTest}, a file; there is a difference on Windows. */
export function closeFileAfterTest<D extends number>(fd: D): D {
  opened.set(fd, inodeOf(fd));
  return fd;
}

/** Closes what {@link closeAfterTest} was told. */
export function closeOpened(): void {
  for (const [fd, inode] of opened) {
    if (inode !== undefined && inodeOf(fd) === inode) closeSync(fd);
  }
  opened.clear();
  for (const fd of openedSockets) native.descriptor_close(custody.pointer, fd);
}

/** The open descriptors of this process, as `number -> what it is`; on Windows, the sockets. */
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

/** The descriptors that are open and were not before. */
export function openedSince(before: string[]): string[] {
  const now = openDescriptors();
  // Bun opens its own output once more, at any time.
  const outputs = now.filter((descriptor) => /^[12] -> /.test(descriptor)).map((descriptor) => descriptor.slice(5));
  return now.filter(
    (descriptor) => !before.includes(descriptor) && !outputs.includes(descriptor.replace(/^.* -> /, "")),
  );
}

/** As {@link openedSince}, and those that were closed; but no sockets: Bun may close an earlier test's at any time. */
export function changedSince(before: string[]): string[] {
  const now = openDescriptors();
  const closed = before.filter((descriptor) => / -> (?!socket:)/.test(descriptor) && !now.includes(descriptor));
  return [...openedSince(before), ...closed];
}

function openSockets(): string[] {
  const type = new Int32Array(1);
  const isSocket = (handle: number) => native.socket_get_option(handle, Option.socketType, type) >= 0;
  return handlesOf(process.pid).filter(isSocket).map(String);
}

/** How many descriptors of any kind a process has, on Windows handles. */
export function descriptorCount(pid = process.pid): number {
  return isWindows ? handlesOf(pid).length : readdirSync(`/proc/${pid}/fd`).length;
}

/** By how much {@link descriptorCount} rises at some time because Bun itself has begun something. */
export const DESCRIPTOR_TOLERANCE = isWindows ? 10 : 0;

/** Whether child processes inherit a descriptor, if they are not kept from it. */
export function isInheritable(fd: number): boolean {
  if (windows !== undefined) {
    const flags = new Uint32Array(1);
    windows.GetHandleInformation(fd, flags);
    return ((flags[0] as number) & 1) !== 0;
  }
  const [, flags] = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8").match(/^flags:\s+(\d+)/m) ?? [];
  const closeOnExec = 0o2000000;
  return (Number.parseInt(flags as string, 8) & closeOnExec) === 0;
}

/** Ends what a socket sends, and not what it receives. */
export function shutdownWriting(socket: number): void {
  const { shutdown } = windows ?? dlopen("libc.so.6", { shutdown: { args: ["i32", "i32"], returns: "i32" } }).symbols;
  if (shutdown(socket, 1) !== 0) throw new Error("shutdown failed");
}

/** Something readable that is no socket, registered. */
export function readableNoSocket(): AsyncFD {
  if (windows === undefined) return readableFifo();
  // A signalled event, numbered as the library numbers its own.
  const fd = closeAfterTest((windows.CreateEventW(0, 1, 1, 0) | 1) as AsyncFD);
  register(fd);
  return fd;
}

export function closeDescriptor(fd: number): void {
  if (isWindows) native.descriptor_close(custody.pointer, fd);
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
  const fd = succeeded(
    native.socket_open(custody.pointer, Domain.inet, SocketType.datagram, 0, 0),
    "socket",
  ) as AsyncFD;
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
