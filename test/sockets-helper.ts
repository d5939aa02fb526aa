import {
  closeSync,
  constants,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type AsyncFD,
  accept,
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  dial,
  getLocalAddr,
  listen,
  register,
  SockAddr,
  SockType,
  waitFor,
} from "../src/index.ts";

/** What a test opened through the helpers, by descriptor: its inode, so that a reused number is left alone. */
const opened = new Map<number, number | undefined>();

function inodeOf(fd: number): number | undefined {
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
    if (inode !== undefined && inodeOf(fd) === inode) closeSync(fd);
  }
  opened.clear();
}

/** The open descriptors of this process, as `number -> what it is`. */
export function openDescriptors(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return `${fd} -> ${readlinkSync(`/proc/self/fd/${fd}`)}`;
    } catch {
      return []; // the descriptor that read the directory
    }
  });
}

/** A listening socket on a port of the loopback interface. */
export function listener(): { socket: AsyncFD; port: number } {
  const socket = closeAfterTest(createAsyncNativeSocket());
  bindAddr(socket, "127.0.0.1", 0);
  listen(socket);
  return { socket, port: getLocalAddr(socket)[1] };
}

/** Two registered sockets that are connected with each other. */
export function connectedPair(): [AsyncFD, AsyncFD] {
  const { socket, port } = listener();
  const dialled = dial("127.0.0.1", port);
  const accepted = closeAfterTest(waitFor(accept(socket)));
  const connected = closeAfterTest(waitFor(dialled));
  closeSocket(socket);
  return [connected, accepted];
}

/** A datagram socket on a free port of a loopback interface, or of an abstract name, and its address. */
export function datagramSocket(host = "127.0.0.1"): { socket: AsyncFD; address: SockAddr } {
  const { family } = SockAddr.of(host, 0);
  const socket = closeAfterTest(createAsyncNativeSocket(family, SockType.SOCK_DGRAM));
  bindAddr(socket, host, 0);
  return { socket, address: SockAddr.of(...getLocalAddr(socket)) };
}

let abstractNames = 0;

/** An abstract name that no other test has. */
export function abstractName(): string {
  return `\0asyncdispatch-test-${process.pid}-${++abstractNames}`;
}

/** A FIFO's only descriptor, for reading and writing, non-blocking and not registered. */
export function openFifo(): AsyncFD {
  return openFifos(1)[0] as AsyncFD;
}

/** Several such descriptors of one FIFO: a byte in it makes them all readable. */
export function openFifos(count: number): AsyncFD[] {
  return openWithFifo((path) =>
    Array.from({ length: count }, () =>
      closeAfterTest(openSync(path, constants.O_RDWR | constants.O_NONBLOCK) as AsyncFD),
    ),
  );
}

/** Both ends of a FIFO, non-blocking and not registered: closing the writer hangs the reader up. */
export function openFifoEnds(): { reader: AsyncFD; writer: AsyncFD } {
  return openWithFifo((path) => {
    const reader = closeAfterTest(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    const writer = closeAfterTest(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    return { reader: reader as AsyncFD, writer: writer as AsyncFD };
  });
}

/** A registered FIFO with a byte in it: readable until it is read. */
export function readableFifo(): AsyncFD {
  const fd = openFifo();
  register(fd);
  writeSync(fd, "x");
  return fd;
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
