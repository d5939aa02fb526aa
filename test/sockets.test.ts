import { dlopen } from "bun:ffi";
import { expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { NativeAddress } from "../src/address.ts";
import {
  AssertionDefect,
  type AsyncFD,
  accept,
  addRead,
  addWrite,
  bindAddr,
  closeSocket,
  contains,
  createAsyncNativeSocket,
  Domain,
  dial,
  drain,
  getLocalAddr,
  getPeerAddr,
  getSockOpt,
  hasPendingOperations,
  IOSelectorsException,
  listen,
  OSError,
  Protocol,
  poll,
  recv,
  recvInto,
  register,
  SOBool,
  SOInt,
  SockType,
  send,
  setInheritable,
  setSockOpt,
  unregister,
  ValueError,
} from "../src/index.ts";
import { custody } from "../src/native/custody.ts";
import { errno, socket as native } from "../src/native/socket.ts";
import {
  closeAfterTest,
  connectedPair,
  isInheritable,
  isWindows,
  isWine,
  listener,
  onEachBackend,
  openFifo,
  readableNoSocket,
  readFrom,
} from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";

/**
 * Whether a child process that inherits what is inheritable has the descriptor. The C library's `system` starts
 * it, since Bun's own spawn closes every descriptor in the child. On Windows, whether it would have it.
 */
function isInChild(fd: number): boolean {
  if (isWindows) return isInheritable(fd);
  const { system } = dlopen("libc.so.6", { system: { args: ["cstring"], returns: "i32" } }).symbols;
  const link = readlinkSync(`/proc/self/fd/${fd}`);
  const command = `[ "$(readlink /proc/$$/fd/${fd})" = "${link}" ]`;
  return system(Buffer.from(`${command}\0`)) === 0;
}

function newSocket(...args: Parameters<typeof createAsyncNativeSocket>): AsyncFD {
  return closeAfterTest(createAsyncNativeSocket(...args));
}

/** Lets the next descriptor have a number above this one's. */
function takeNumbersBelow(fd: AsyncFD): void {
  while (newSocket() < fd);
}

function errorOf(call: () => unknown): OSError {
  try {
    call();
  } catch (error) {
    return error as OSError;
  }
  throw new Error("did not throw");
}

const FINISHED = { code: "EBADF", errorCode: errno.EBADF, errno: -errno.EBADF };

onEachBackend(() => {
  test("a new socket is registered and non-blocking", () => {
    const { socket } = listener();
    expect(contains(socket)).toBe(true);
    expect(native.socket_accept(custody.pointer, socket, new NativeAddress().memory, 0)).toBe(-errno.EAGAIN);
  });

  test("a new socket keeps nothing pending", () => {
    newSocket();
    expect(hasPendingOperations()).toBe(false);
  });

  test("a socket that the system refuses is an OSError and leaves nothing", () => {
    const error = errorOf(() => createAsyncNativeSocket(9999 as Domain));
    expect(error).toBeInstanceOf(OSError);
    expect(error).toMatchObject({ code: "EAFNOSUPPORT", syscall: "socket" });
  });

  test.skipIf(isWindows)("a UNIX socket needs no protocol (UNIX sockets: skipped on Windows)", () => {
    expect(contains(newSocket(Domain.AF_UNIX))).toBe(true);
  });

  test("bindAddr with port 0 has the system choose one, which getLocalAddr tells", () => {
    const socket = newSocket();
    bindAddr(socket, "127.0.0.1", 0);
    const [address, port] = getLocalAddr(socket);
    expect(address).toBe("127.0.0.1");
    expect(port).toBeGreaterThan(0);
  });

  test("bindAddr with an empty address binds every address", () => {
    const socket = newSocket();
    bindAddr(socket, "", 0);
    expect(getLocalAddr(socket)[0]).toBe("0.0.0.0");
  });

  test("bindAddr takes a name", () => {
    const socket = newSocket();
    bindAddr(socket, "localhost", 0);
    expect(getLocalAddr(socket)[0]).toBe("127.0.0.1");
  });

  test("bindAddr binds datagram sockets", () => {
    const socket = newSocket(Domain.AF_INET, SockType.SOCK_DGRAM, Protocol.IPPROTO_UDP);
    bindAddr(socket, "127.0.0.1", 0);
    expect(getLocalAddr(socket)[1]).toBeGreaterThan(0);
  });

  test("bindAddr to a port that is taken is EADDRINUSE with the address", () => {
    const { port } = listener();
    const error = errorOf(() => bindAddr(newSocket(), "127.0.0.1", port));
    expect(error).toMatchObject({ code: "EADDRINUSE", syscall: "bind", address: "127.0.0.1", port });
  });

  test("bindAddr to an address of another machine is EADDRNOTAVAIL", () => {
    expect(errorOf(() => bindAddr(newSocket(), "192.0.2.1", 0))).toMatchObject({ code: "EADDRNOTAVAIL" });
  });

  test("listen on a datagram socket is EOPNOTSUPP", () => {
    const socket = newSocket(Domain.AF_INET, SockType.SOCK_DGRAM);
    expect(errorOf(() => listen(socket))).toMatchObject({ code: isWine ? "EINVAL" : "ENOTSUP", syscall: "listen" });
  });

  test("getLocalAddr and getPeerAddr tell the same of both ends", () => {
    const [a, b] = connectedPair();
    expect(getPeerAddr(a)).toEqual(getLocalAddr(b));
    expect(getPeerAddr(b)).toEqual(getLocalAddr(a));
  });

  test("getPeerAddr without a peer is ENOTCONN", () => {
    expect(errorOf(() => getPeerAddr(newSocket()))).toMatchObject({ code: "ENOTCONN", syscall: "getpeername" });
  });

  test("getLocalAddr of what is no socket is ENOTSOCK", () => {
    expect(errorOf(() => getLocalAddr(readableNoSocket()))).toMatchObject({ code: "ENOTSOCK", syscall: "getsockname" });
  });

  test.skipIf(process.platform !== "linux")(
    "an address of another family, netlink's, has no text (Linux alone)",
    () => {
      const netlink = createAsyncNativeSocket(16 as Domain, SockType.SOCK_RAW, 0 as Protocol);
      expect(getLocalAddr(closeAfterTest(netlink))).toEqual(["", 0]);
    },
  );

  test("getLocalAddr does not need a registered socket", () => {
    const { socket, port } = listener();
    unregister(socket);
    expect(getLocalAddr(socket)[1]).toBe(port);
  });

  function expectSwitch(option: SOBool): void {
    const socket = newSocket();
    setSockOpt(socket, option, true);
    expect(getSockOpt(socket, option)).toBe(true);
    setSockOpt(socket, option, false);
    expect(getSockOpt(socket, option)).toBe(false);
  }

  test.each([
    ["OptBroadcast", SOBool.OptBroadcast],
    ["OptKeepAlive", SOBool.OptKeepAlive],
    ["OptOOBInline", SOBool.OptOOBInline],
    ["OptReuseAddr", SOBool.OptReuseAddr],
    ["OptNoDelay", SOBool.OptNoDelay],
  ])("setSockOpt turns %s on and off", (_name, option) => {
    expectSwitch(option);
  });

  test.skipIf(isWine)("setSockOpt turns OptDontRoute on and off (skipped under Wine, which keeps it)", () => {
    expectSwitch(SOBool.OptDontRoute);
  });

  test.skipIf(isWindows)("setSockOpt turns OptReusePort on and off (skipped on Windows, which has none)", () => {
    expectSwitch(SOBool.OptReusePort);
  });

  test("OptDebug is set, or refused without the privilege", () => {
    const socket = newSocket();
    try {
      setSockOpt(socket, SOBool.OptDebug, true);
    } catch (error) {
      expect(error).toMatchObject({ code: "EACCES", syscall: "setsockopt" });
    }
    expect(getSockOpt(socket, SOBool.OptDebug)).toBeBoolean();
  });

  test("OptAcceptConn tells whether a socket listens", () => {
    expect(getSockOpt(newSocket(), SOBool.OptAcceptConn)).toBe(false);
    expect(getSockOpt(listener().socket, SOBool.OptAcceptConn)).toBe(true);
  });

  test("OptAcceptConn cannot be set", () => {
    expect(errorOf(() => setSockOpt(newSocket(), SOBool.OptAcceptConn, true))).toMatchObject({ code: "ENOPROTOOPT" });
  });

  test.each([
    ["OptSendBuffer", SOInt.OptSendBuffer],
    ["OptRecvBuffer", SOInt.OptRecvBuffer],
  ])("setSockOpt sets %s, of which Linux takes twice as much", (_name, option) => {
    const socket = newSocket();
    setSockOpt(socket, option, 20_000);
    expect(getSockOpt(socket, option)).toBe(isWindows ? 20_000 : 40_000);
  });

  test.each([[-1], [0], [30]])("OptLinger %i is kept", (seconds) => {
    const socket = newSocket();
    expect(getSockOpt(socket, SOInt.OptLinger)).toBe(-1);
    setSockOpt(socket, SOInt.OptLinger, seconds);
    expect(getSockOpt(socket, SOInt.OptLinger)).toBe(seconds);
  });

  test("an option of another kind of socket is an OSError", () => {
    const socket = newSocket(Domain.AF_INET, SockType.SOCK_DGRAM);
    expect(errorOf(() => getSockOpt(socket, SOBool.OptNoDelay))).toMatchObject({ syscall: "getsockopt" });
  });

  test("a child process does not see a new socket", () => {
    expect(isInChild(newSocket())).toBe(false);
  });

  test("a child process sees a socket that was made inheritable at creation", () => {
    expect(isInChild(newSocket(undefined, undefined, undefined, { inheritable: true }))).toBe(true);
  });

  test("a child process sees a socket after setInheritable(true)", () => {
    const socket = newSocket();
    expect(setInheritable(socket, true)).toBe(true);
    expect(isInChild(socket)).toBe(true);
  });

  test("a child process does not see a socket after setInheritable(false)", () => {
    const socket = newSocket(undefined, undefined, undefined, { inheritable: true });
    expect(setInheritable(socket, false)).toBe(true);
    expect(isInChild(socket)).toBe(false);
  });

  test("setInheritable of a closed descriptor is false", () => {
    const socket = createAsyncNativeSocket();
    closeSocket(socket);
    expect(setInheritable(socket, true)).toBe(false);
  });

  test("closeSocket closes and unregisters", () => {
    const socket = createAsyncNativeSocket();
    closeSocket(socket);
    expect(contains(socket)).toBe(false);
    expect(errorOf(() => getLocalAddr(socket))).toMatchObject({ code: "EBADF" });
  });

  test("closeSocket twice is a ValueError", () => {
    const socket = createAsyncNativeSocket();
    closeSocket(socket);
    expect(() => closeSocket(socket)).toThrow(new ValueError("File descriptor not registered."));
  });

  test("closeSocket fails two recvs and a send that wait, with EBADF and at once (R20)", () => {
    const [a] = connectedPair();
    const receives = [recv(a, 10), recvInto(a, new Uint8Array(10))];
    let sending = send(a, new Uint8Array(1 << 16));
    while (sending.finished) sending = send(a, new Uint8Array(1 << 16));
    closeSocket(a);
    const errors = [...receives, sending].map((future) => future.error);
    expect(errors).toMatchObject([FINISHED, FINISHED, FINISHED]);
    expect(hasPendingOperations()).toBe(false);
  });

  test("closeSocket fails an accept that waits", () => {
    const { socket } = listener();
    const accepting = accept(socket);
    closeSocket(socket);
    expect(failureOf(accepting)).toMatchObject(FINISHED);
  });

  test("closeSocket notifies before the number can be another's (Q15)", () => {
    const [a] = connectedPair();
    let other: AsyncFD | undefined;
    let read: unknown;
    takeNumbersBelow(a);
    addRead(a, (fd) => {
      other = newSocket();
      read = errorOf(() => readFrom(fd, Buffer.alloc(1)));
      return true;
    });
    closeSocket(a);
    expect(other).toBeDefined();
    expect(other).not.toBe(a);
    expect(read).toMatchObject({ code: "EBADF" });
  });

  test("closeSocket calls the callbacks of both directions, readers first (Q15)", () => {
    const [a] = connectedPair();
    const called: string[] = [];
    for (const name of ["read 1", "read 2"]) addRead(a, () => called.push(name) > 0);
    addWrite(a, () => called.push("write") > 0);
    closeSocket(a);
    expect(called).toEqual(["read 1", "read 2", "write"]);
  });

  test("closeSocket refuses a callback that wants to go on, but closes, and calls the others", () => {
    const [a] = connectedPair();
    let others = 0;
    addRead(a, () => false);
    addRead(a, () => ++others > 0);
    const complaint = new ValueError("Expecting async operations to stop when fd has closed.");
    expect(() => closeSocket(a)).toThrow(complaint);
    expect(others).toBe(1);
    expect(contains(a)).toBe(false);
  });

  test("closeSocket closes and calls the others when a callback throws", () => {
    const [a] = connectedPair();
    let others = 0;
    addRead(a, () => {
      throw new Error("mine");
    });
    addWrite(a, () => ++others > 0);
    expect(() => closeSocket(a)).toThrow("mine");
    expect(others).toBe(1);
    expect(errorOf(() => getLocalAddr(a))).toMatchObject({ code: "EBADF" });
  });

  test("a socket can be closed inside its own readiness callback", () => {
    const [a, b] = connectedPair();
    addRead(a, (fd) => {
      closeSocket(fd);
      return true;
    });
    send(b, "x");
    poll(1000);
    expect(contains(a)).toBe(false);
    expect(hasPendingOperations()).toBe(false);
  });

  test("a socket closed inside its own callback takes its other operations along", () => {
    const [a, b] = connectedPair();
    addRead(a, (fd) => {
      closeSocket(fd);
      return false;
    });
    const behind = recv(a, 10);
    send(b, "x");
    poll(1000);
    expect(behind.error).toMatchObject(FINISHED);
  });

  test("unregister fails what waits with ECANCELED and leaves the descriptor open (Q8)", () => {
    const [a, b] = connectedPair();
    const [first, second] = [recv(a, 10), recv(a, 10)];
    unregister(a);
    for (const future of [first, second]) {
      expect(failureOf(future)).toMatchObject({
        code: "ECANCELED",
        errorCode: errno.ECANCELED,
        errno: -errno.ECANCELED,
      });
    }
    register(a);
    send(b, "kept");
    expect(waitFor(recv(a, 10)).toString()).toBe("kept");
  });

  test("unregister of what is not registered is an AssertionDefect with Nim's text", () => {
    const fifo = openFifo();
    const complaint = new AssertionDefect(`Descriptor ${fifo} is not registered in the selector!`);
    expect(() => unregister(fifo)).toThrow(complaint);
  });

  test("register twice is an AssertionDefect with Nim's text", () => {
    const socket = newSocket();
    expect(() => register(socket)).toThrow(new AssertionDefect(`Descriptor ${socket} already registered`));
  });

  test("register of a closed descriptor is an IOSelectorsException", () => {
    const socket = createAsyncNativeSocket();
    closeSocket(socket);
    expect(() => register(socket)).toThrow(new IOSelectorsException(`Bad file descriptor (code: ${errno.EBADF})`));
  });

  test("a number that is used again serves its new socket alone", () => {
    const [a, b] = connectedPair();
    const { socket, port } = listener();
    takeNumbersBelow(a);
    const old = recv(a, 10);
    closeSocket(a);
    const again = closeAfterTest(waitFor(dial("127.0.0.1", port)));
    expect(again).toBe(a);
    const peer = closeAfterTest(waitFor(accept(socket)));
    send(peer, "new");
    expect(waitFor(recv(again, 10)).toString()).toBe("new");
    expect(old.failed).toBe(true);
    expect(waitFor(recv(b, 10)).length).toBe(0);
    drain(0);
  });
});
