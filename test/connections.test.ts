import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, readlinkSync } from "node:fs";
import {
  AssertionDefect,
  type AsyncFD,
  accept,
  acceptAddr,
  all,
  bindAddr,
  closeSocket,
  connect,
  contains,
  createAsyncNativeSocket,
  Domain,
  dial,
  drain,
  type Future,
  getGlobalDispatcher,
  getLocalAddr,
  getPeerAddr,
  listen,
  OSError,
  Protocol,
  SOInt,
  setSockOpt,
  sleepAsync,
} from "../src/index.ts";
import { errno, socket as native } from "../src/native/socket.ts";
import { backends, closeAfterTest, isInheritable, isWindows, listener, onEachBackend } from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";
import { runLimited } from "./children.ts";

/** Whether a receive comes back although nothing is there. */
function isNonBlocking(fd: number): boolean {
  const memory = new Uint8Array(1);
  return native.socket_receive(fd, memory, memory, 1, 0) === -errno.EAGAIN;
}

function peerPortOf(socket: AsyncFD): number | undefined {
  try {
    return getPeerAddr(socket)[1];
  } catch {
    return undefined;
  }
}

/** The future's socket, closed after the test. */
function socketOf(future: Future<AsyncFD>): AsyncFD {
  return closeAfterTest(waitFor(future));
}

function ipv6Listener(address: string): number {
  const socket = closeAfterTest(createAsyncNativeSocket(Domain.AF_INET6));
  bindAddr(socket, address, 0);
  listen(socket);
  pending = socket;
  return getLocalAddr(socket)[1];
}
/** The last socket of {@link ipv6Listener}. */
let pending: AsyncFD;

/** A port where nobody listens: somebody did a moment ago. */
function closedPort(): number {
  const { socket, port } = listener();
  closeSocket(socket);
  return port;
}

/** How many eventfds this process has. */
function eventDescriptors(): number {
  if (isWindows) return 0;
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[eventfd]";
    } catch {
      return false;
    }
  }).length;
}

/** Dials to a listener whose backlog is full, of which none is finished. */
function dialsThatWait(): Future<AsyncFD>[] {
  const socket = closeAfterTest(createAsyncNativeSocket());
  bindAddr(socket, "127.0.0.1", 0);
  listen(socket, 0);
  const dials = Array.from({ length: 4 }, () => dial("127.0.0.1", getLocalAddr(socket)[1]));
  drain(20);
  for (const future of dials.filter(({ finished }) => finished)) closeAfterTest(future.read());
  return dials.filter(({ finished }) => !finished);
}

const hasIpv6 = (() => {
  try {
    Bun.listen({ hostname: "::1", port: 0, socket: { data() {} } }).stop();
    return true;
  } catch {
    return false;
  }
})();

test.skipIf(isWindows).each([...backends])(
  "%s: without a descriptor left accept fails with EMFILE, the loop does not spin, the listener survives (skipped on Windows, which sets no limit)",
  (selector) => {
    const script = `
      import { accept, connect, closeSocket, createAsyncNativeSocket, drain, dial, getGlobalDispatcher, getLocalAddr,
        bindAddr, listen, waitFor } from "./src/index.ts";
      const listener = createAsyncNativeSocket();
      bindAddr(listener, "127.0.0.1", 0);
      listen(listener);
      const spare = [];
      let full;
      try { for (;;) spare.push(createAsyncNativeSocket()); } catch (error) { full = error.code; }
      waitFor(connect(spare[0], "127.0.0.1", getLocalAddr(listener)[1]));
      const before = getGlobalDispatcher().statistics().wakeups;
      const codes = [];
      const serve = () => accept(listener).addCallback((future) => {
        if (future.failed) { codes.push(future.error.code); serve(); }
        else accepted = future.read();
      });
      let accepted;
      serve();
      drain(350);
      const wakeups = getGlobalDispatcher().statistics().wakeups - before;
      closeSocket(spare.pop());
      const end = performance.now() + 3000;
      while (accepted === undefined && performance.now() < end) drain(50);
      console.log(JSON.stringify({ full, codes, wakeups, survived: accepted !== undefined }));`;
    const { stdout, stderr } = runLimited(64, script, { ASYNCDISPATCH_SELECTOR: selector });
    if (stdout.length === 0) throw new Error(stderr);
    const { full, codes, wakeups, survived } = JSON.parse(stdout);
    expect(full).toBe("EMFILE");
    expect(new Set(codes)).toEqual(new Set(["EMFILE"]));
    expect(codes.length).toBeLessThanOrEqual(5);
    expect(wakeups).toBeLessThanOrEqual(15);
    expect(survived).toBe(true);
  },
);

onEachBackend(() => {
  test("accept gives a socket that is registered, non-blocking and not inherited (Q11)", () => {
    const { socket, port } = listener();
    const dialled = dial("127.0.0.1", port);
    const client = socketOf(accept(socket));
    socketOf(dialled);
    expect(contains(client)).toBe(true);
    expect(isNonBlocking(client)).toBe(true);
    expect(isInheritable(client)).toBe(false);
  });

  test("accept gives an inheritable socket when asked", () => {
    const { socket, port } = listener();
    const dialled = dial("127.0.0.1", port);
    const client = socketOf(accept(socket, { inheritable: true }));
    socketOf(dialled);
    expect(isNonBlocking(client)).toBe(true);
    expect(isInheritable(client)).toBe(true);
  });

  test("of two accepts one connection finishes the first, and the second goes on waiting (R7, Q10)", () => {
    const { socket, port } = listener();
    const [first, second] = [accept(socket), accept(socket)];
    socketOf(dial("127.0.0.1", port));
    socketOf(first);
    drain(0);
    expect(second.finished).toBe(false);
    socketOf(dial("127.0.0.1", port));
    socketOf(second);
  });

  test("accept takes connections that were made before it", () => {
    const { socket, port } = listener();
    const dialled = [socketOf(dial("127.0.0.1", port)), socketOf(dial("127.0.0.1", port))];
    const ports = [socketOf(accept(socket)), socketOf(accept(socket))].map((client) => getPeerAddr(client)[1]);
    expect(ports).toEqual(dialled.map((client) => getLocalAddr(client)[1]));
  });

  test("a connection that was reset before accept does not harm the listener", () => {
    const { socket, port } = listener();
    const gone = waitFor(dial("127.0.0.1", port));
    setSockOpt(gone, SOInt.OptLinger, 0);
    closeSocket(gone);
    const later = socketOf(dial("127.0.0.1", port));
    // Linux gives the dead connection first; another system passes over it.
    let client = socketOf(accept(socket));
    if (peerPortOf(client) !== getLocalAddr(later)[1]) client = socketOf(accept(socket));
    expect(peerPortOf(client)).toBe(getLocalAddr(later)[1]);
  });

  test("accept on a socket that does not listen fails with EINVAL", () => {
    const socket = closeAfterTest(createAsyncNativeSocket());
    bindAddr(socket, "127.0.0.1", 0);
    expect(failureOf(accept(socket))).toMatchObject({ code: "EINVAL", syscall: "accept" });
  });

  test("acceptAddr gives an IPv4 address as text", () => {
    const { socket, port } = listener();
    const dialled = dial("127.0.0.1", port);
    const { address, client } = waitFor(acceptAddr(socket));
    expect([closeAfterTest(client), socketOf(dialled)].length).toBe(2);
    expect(address).toBe("127.0.0.1");
  });

  test.skipIf(!hasIpv6)("acceptAddr gives an IPv6 address as text (skipped without IPv6)", () => {
    const dialled = dial("::1", ipv6Listener("::1"));
    const { address, client } = waitFor(acceptAddr(pending));
    expect([closeAfterTest(client), socketOf(dialled)].length).toBe(2);
    expect(address).toBe("::1");
  });

  test.skipIf(!hasIpv6)(
    "acceptAddr gives a mapped address of a dual-stack socket as IPv4 (skipped without IPv6)",
    () => {
      const dialled = dial("127.0.0.1", ipv6Listener(""));
      const { address, client } = waitFor(acceptAddr(pending));
      expect([closeAfterTest(client), socketOf(dialled)].length).toBe(2);
      expect(address).toBe("127.0.0.1");
    },
  );

  test("dial connects to an IPv4 address and gives a registered socket", () => {
    const { port } = listener();
    const socket = socketOf(dial("127.0.0.1", port));
    expect(getPeerAddr(socket)).toEqual(["127.0.0.1", port]);
    expect(contains(socket)).toBe(true);
  });

  test.skipIf(!hasIpv6)("dial connects to an IPv6 address (skipped without IPv6)", () => {
    const port = ipv6Listener("::1");
    expect(getPeerAddr(socketOf(dial("::1", port)))).toEqual(["::1", port]);
  });

  test("dial with UDP gives a connected datagram socket", () => {
    const socket = socketOf(dial("127.0.0.1", 9, Protocol.IPPROTO_UDP));
    expect(getPeerAddr(socket)).toEqual(["127.0.0.1", 9]);
  });

  test("dial of a closed port fails with ECONNREFUSED and all its details", () => {
    const port = closedPort();
    const error = failureOf(dial("127.0.0.1", port)) as OSError;
    expect(error).toBeInstanceOf(OSError);
    const { name, code, errorCode, syscall, address, message } = error;
    expect({ name, code, errorCode, errno: error.errno, syscall, address, port: error.port, message }).toEqual({
      name: "OSError",
      code: "ECONNREFUSED",
      errorCode: errno.ECONNREFUSED,
      errno: -errno.ECONNREFUSED,
      syscall: "connect",
      address: "127.0.0.1",
      port,
      message: `connect ECONNREFUSED 127.0.0.1:${port}`,
    });
  });

  test("dial that fails leaves no descriptor registered", () => {
    const port = closedPort();
    const before = getGlobalDispatcher().handles;
    failureOf(dial("127.0.0.1", port));
    expect(getGlobalDispatcher().handles).toEqual(before);
  });

  test("200 dials at once give 200 connections", () => {
    const { socket, port } = listener();
    const dialled = all(Array.from({ length: 200 }, () => dial("127.0.0.1", port)));
    const accepted = all(Array.from({ length: 200 }, () => accept(socket)));
    const clients = waitFor(dialled).map(closeAfterTest);
    const peers = waitFor(accepted).map((client) => getPeerAddr(closeAfterTest(client))[1]);
    expect(peers.sort()).toEqual(clients.map((client) => getLocalAddr(client)[1]).sort());
  });

  test("connect connects a socket of one's own", () => {
    const { port } = listener();
    const socket = closeAfterTest(createAsyncNativeSocket());
    waitFor(connect(socket, "127.0.0.1", port));
    expect(getPeerAddr(socket)).toEqual(["127.0.0.1", port]);
  });

  test("connect to a closed port fails with ECONNREFUSED", () => {
    const port = closedPort();
    const socket = closeAfterTest(createAsyncNativeSocket());
    const details = { code: "ECONNREFUSED", address: "127.0.0.1", port };
    expect(failureOf(connect(socket, "127.0.0.1", port))).toMatchObject(details);
  });

  test("a socket whose connect was refused can be connected elsewhere", () => {
    const socket = closeAfterTest(createAsyncNativeSocket());
    failureOf(connect(socket, "127.0.0.1", closedPort()));
    const { port } = listener();
    waitFor(connect(socket, "127.0.0.1", port));
    expect(getPeerAddr(socket)[1]).toBe(port);
  });

  test("connect of an accepted socket fails with EISCONN", () => {
    const { socket, port } = listener();
    socketOf(dial("127.0.0.1", port));
    const client = socketOf(accept(socket));
    expect(failureOf(connect(client, "127.0.0.1", port))).toMatchObject({ code: "EISCONN", syscall: "connect" });
  });

  test("connect of a dialled socket to somebody else fails with EISCONN", () => {
    const socket = socketOf(dial("127.0.0.1", listener().port));
    const { port } = listener();
    expect(failureOf(connect(socket, "127.0.0.1", port))).toMatchObject({ code: "EISCONN", syscall: "connect" });
  });

  test("connect of a socket that listens fails", () => {
    const { socket, port } = listener();
    expect(failureOf(connect(socket, "127.0.0.1", port))).toMatchObject({ syscall: "connect" });
  });

  test("connect with a domain that is not the socket's is refused at the call", () => {
    const socket = closeAfterTest(createAsyncNativeSocket(Domain.AF_INET));
    expect(() => connect(socket, "127.0.0.1", 80, Domain.AF_INET6)).toThrow(AssertionDefect);
  });

  test("connect to an address of another domain fails the future, not the call (Q22)", () => {
    const socket = closeAfterTest(createAsyncNativeSocket(Domain.AF_INET));
    expect(failureOf(connect(socket, "::1", 80))).toBeInstanceOf(Error);
  });

  test("closing the dispatcher while a dial waits leaves no descriptor", () => {
    const dials = dialsThatWait();
    getGlobalDispatcher().close();
    for (const { error } of dials) expect(error).toMatchObject({ code: "ECANCELED" });
  });

  describe("names", () => {
    let before: number;
    beforeEach(() => {
      before = eventDescriptors();
    });

    // The thread of a lookup gives the resolver's descriptor back a moment after the result.
    afterEach(() => {
      getGlobalDispatcher().close();
      const end = performance.now() + 4000;
      while (eventDescriptors() > before && performance.now() < end) Bun.sleepSync(1);
    });

    test("dial connects to a name", () => {
      const { port } = listener();
      expect(getPeerAddr(socketOf(dial("localhost", port)))).toEqual(["127.0.0.1", port]);
    });

    test("dial of an unknown name fails its future with ENOTFOUND, never the call (Q22)", () => {
      const future = dial("unknown.invalid", 80);
      expect(future.finished).toBe(false);
      const error = failureOf(future) as OSError;
      expect(error).toBeInstanceOf(OSError);
      expect(error).toMatchObject({ syscall: "getaddrinfo", address: "unknown.invalid" });
      expect(error.code).toMatch(/^(ENOTFOUND|EAI_AGAIN)$/);
      expect(error.message).toContain("\nAdditional info: ");
    });

    test("the loop goes on while a name is looked up (Q22)", () => {
      const lookup = dial("unknown.invalid", 80);
      waitFor(sleepAsync(0));
      expect(failureOf(lookup)).toBeInstanceOf(OSError);
    });

    test("dial of an empty name fails its future (Q22)", () => {
      expect(failureOf(dial("", 1))).toBeInstanceOf(Error);
    });

    test("a name with a NUL byte is not looked up without it", () => {
      const { port } = listener();
      expect(failureOf(dial("localhost\0.example", port))).toBeInstanceOf(OSError);
    });

    test("connect takes a name, and the addresses of the socket's domain alone", () => {
      const { port } = listener();
      const socket = closeAfterTest(createAsyncNativeSocket(Domain.AF_INET));
      waitFor(connect(socket, "localhost", port, Domain.AF_INET));
      expect(getPeerAddr(socket)).toEqual(["127.0.0.1", port]);
    });

    test("closing a socket while it connects fails the connect", () => {
      const { port } = listener();
      const socket = closeAfterTest(createAsyncNativeSocket());
      const future = connect(socket, "localhost", port);
      closeSocket(socket);
      expect(failureOf(future)).toBeInstanceOf(Error);
    });

    test("a socket that gets the number of one closed during a lookup is not connected in its place", () => {
      const { port } = listener();
      const socket = createAsyncNativeSocket();
      const future = connect(socket, "localhost", port);
      closeSocket(socket);
      const other = socketWithNumber(socket);
      expect(failureOf(future)).toBeInstanceOf(Error);
      expect(() => getPeerAddr(other)).toThrow(OSError);
    });
  });
});

/**
 * A new socket with the number of a closed one. Other threads open and close descriptors meanwhile: a lower number
 * may have come free, which the first socket takes, and this one may be in use for a moment.
 */
function socketWithNumber(number: AsyncFD): AsyncFD {
  const end = performance.now() + 4000;
  let socket: AsyncFD;
  do {
    socket = closeAfterTest(createAsyncNativeSocket());
    if (socket > number) closeSocket(socket);
  } while (socket !== number && performance.now() < end);
  expect(socket).toBe(number);
  return socket;
}
