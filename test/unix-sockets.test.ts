import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AssertionDefect,
  type AsyncFD,
  accept,
  acceptAddr,
  bindAddr,
  CancelledError,
  closeSocket,
  connect,
  createAsyncNativeSocket,
  Domain,
  dial,
  getLocalAddr,
  getPeerAddr,
  listen,
  OSError,
  Protocol,
  recv,
  recvFrom,
  recvFromInto,
  SockAddr,
  SockType,
  send,
  sendTo,
  ValueError,
} from "../src/index.ts";
import { abstractName, closeAfterTest, onEachBackend } from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";

const { AF_INET, AF_INET6, AF_UNIX } = Domain;

/** Runs `body` with the path of a file that does not exist, in a directory that is deleted afterwards. */
function withPath(body: (path: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
  try {
    body(join(directory, "socket"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function unixListener(path: string): AsyncFD {
  const socket = closeAfterTest(createAsyncNativeSocket(AF_UNIX));
  bindAddr(socket, path, 0);
  listen(socket);
  return socket;
}

/** A socket that dialled `path`, and the one that its listener accepted. */
function connectedThrough(path: string): [AsyncFD, AsyncFD] {
  const listener = unixListener(path);
  const client = closeAfterTest(waitFor(dial(path, 0)));
  return [client, closeAfterTest(waitFor(accept(listener)))];
}

function unixDatagramSocket(path?: string): AsyncFD {
  const socket = closeAfterTest(createAsyncNativeSocket(AF_UNIX, SockType.SOCK_DGRAM));
  if (path !== undefined) bindAddr(socket, path, 0);
  return socket;
}

onEachBackend(() => {
  describe("a stream", () => {
    test("carries bytes both ways through a path", () => {
      withPath((path) => {
        const [a, b] = connectedThrough(path);
        waitFor(send(a, "ping"));
        expect(waitFor(recv(b, 10)).toString()).toBe("ping");
        waitFor(send(b, "pong"));
        expect(waitFor(recv(a, 10)).toString()).toBe("pong");
      });
    });

    test("carries bytes through an abstract name", () => {
      const [a, b] = connectedThrough(abstractName());
      waitFor(send(a, "ping"));
      expect(waitFor(recv(b, 10)).toString()).toBe("ping");
    });

    test("carries what does not fit into the socket at once", () => {
      const [a, b] = connectedThrough(abstractName());
      const sending = send(a, Buffer.alloc(4_000_000, "0123456789a"));
      let size = 0;
      while (size < 4_000_000) size += waitFor(recv(b, 1_000_000)).length;
      waitFor(sending);
      expect(size).toBe(4_000_000);
    });

    test("ends when its peer is closed", () => {
      const [a, b] = connectedThrough(abstractName());
      closeSocket(a);
      expect(waitFor(recv(b, 10)).length).toBe(0);
    });

    test("connect takes a path, and a socket of one's own", () => {
      const path = abstractName();
      const listener = unixListener(path);
      const socket = closeAfterTest(createAsyncNativeSocket(AF_UNIX));
      waitFor(connect(socket, path, 0));
      const accepted = closeAfterTest(waitFor(accept(listener)));
      waitFor(send(socket, "x"));
      expect(waitFor(recv(accepted, 10)).toString()).toBe("x");
    });

    test("a UNIX socket takes a path without a slash", () => {
      withPath((path) => {
        const before = process.cwd();
        process.chdir(join(path, ".."));
        try {
          unixListener("socket");
          const client = closeAfterTest(createAsyncNativeSocket(AF_UNIX));
          waitFor(connect(client, "socket", 0));
          expect(getPeerAddr(client)).toEqual(["socket", 0]);
        } finally {
          process.chdir(before);
        }
      });
    });

    test("accept waits for a connection", () => {
      const path = abstractName();
      const accepted = accept(unixListener(path));
      closeAfterTest(waitFor(dial(path, 0)));
      closeAfterTest(waitFor(accepted));
    });

    test("a second connect is EISCONN", () => {
      const path = abstractName();
      const [client] = connectedThrough(path);
      expect(failureOf(connect(client, path, 0))).toMatchObject({ code: "EISCONN", address: path });
    });

    test("a name is not looked up, however slow lookups are", () => {
      withPath((path) => {
        unixListener(path);
        const dialled = dial(path, 0);
        expect(dialled.finished).toBe(true);
        closeAfterTest(dialled.read());
      });
    });
  });

  describe("addresses", () => {
    test("of a listener and of both ends of a connection", () => {
      withPath((path) => {
        const [a, b] = connectedThrough(path);
        expect([getLocalAddr(b), getPeerAddr(b)]).toEqual([
          [path, 0],
          ["", 0],
        ]);
        expect([getLocalAddr(a), getPeerAddr(a)]).toEqual([
          ["", 0],
          [path, 0],
        ]);
      });
    });

    test("of an abstract name begin with a NUL", () => {
      const name = abstractName();
      expect(getLocalAddr(unixListener(name))).toEqual([name, 0]);
    });

    test("of a new socket are empty", () => {
      const socket = closeAfterTest(createAsyncNativeSocket(AF_UNIX));
      expect(getLocalAddr(socket)).toEqual(["", 0]);
    });

    test("of a client without a name are empty for acceptAddr", () => {
      const path = abstractName();
      const listener = unixListener(path);
      closeAfterTest(waitFor(dial(path, 0)));
      const { address, client } = waitFor(acceptAddr(listener));
      closeAfterTest(client);
      expect(address).toBe("");
    });

    test("of a bound client are its path for acceptAddr", () => {
      const [path, own] = [abstractName(), abstractName()];
      const listener = unixListener(path);
      const socket = closeAfterTest(createAsyncNativeSocket(AF_UNIX));
      bindAddr(socket, own, 0);
      waitFor(connect(socket, path, 0));
      const { address, client } = waitFor(acceptAddr(listener));
      closeAfterTest(client);
      expect(address).toBe(own);
    });

    test("may have 107 bytes and letters of other scripts", () => {
      withPath((path) => {
        const long = path + "ä".repeat(60).slice(0, (107 - path.length) >> 1);
        connectedThrough(long);
        expect(getLocalAddr(unixListener(`\0${long}`))).toEqual([`\0${long}`, 0]);
      });
    });
  });

  describe("errors", () => {
    test("a path that nobody has is ENOENT", () => {
      withPath((path) => {
        const error = failureOf(dial(path, 0));
        expect(error).toBeInstanceOf(OSError);
        expect(error).toMatchObject({
          code: "ENOENT",
          syscall: "connect",
          address: path,
          message: `connect ENOENT ${path}`,
        });
        expect((error as OSError).port).toBeUndefined();
      });
    });

    test("a path whose listener is closed is ECONNREFUSED", () => {
      withPath((path) => {
        closeSocket(unixListener(path));
        expect(failureOf(dial(path, 0))).toMatchObject({ code: "ECONNREFUSED" });
      });
    });

    test("an abstract name that nobody has is ECONNREFUSED", () => {
      expect(failureOf(dial(abstractName(), 0))).toMatchObject({ code: "ECONNREFUSED" });
    });

    test("a path that exists cannot be bound, also when its socket is closed", () => {
      withPath((path) => {
        closeSocket(unixListener(path));
        expect(existsSync(path)).toBe(true);
        const socket = closeAfterTest(createAsyncNativeSocket(AF_UNIX));
        expect(() => bindAddr(socket, path, 0)).toThrow(`bind EADDRINUSE ${path}`);
      });
    });

    test.each([AF_INET, AF_INET6])("a path for a socket of the domain %d is EAFNOSUPPORT", (domain) => {
      const socket = closeAfterTest(createAsyncNativeSocket(domain));
      expect(() => bindAddr(socket, "/tmp/x", 0)).toThrow("EAFNOSUPPORT /tmp/x");
      expect(failureOf(connect(socket, "/tmp/x", 0))).toMatchObject({ code: "EAFNOSUPPORT" });
    });

    test("a path for a socket of another domain given to connect is an AssertionDefect", () => {
      const socket = closeAfterTest(createAsyncNativeSocket(AF_UNIX));
      expect(() => connect(socket, "/tmp/x", 0, AF_INET)).toThrow(AssertionDefect);
    });

    test("bindAddr of no address is a ValueError", () => {
      const socket = closeAfterTest(createAsyncNativeSocket(AF_UNIX));
      expect(() => bindAddr(socket, "", 0)).toThrow(
        new ValueError("Unknown socket address family and no address specified to bindAddr"),
      );
    });

    test("connect to no address is a ValueError", () => {
      const socket = closeAfterTest(createAsyncNativeSocket(AF_UNIX));
      expect(failureOf(connect(socket, "", 0))).toBeInstanceOf(ValueError);
    });

    test("a backlog that is full is EAGAIN", () => {
      const path = abstractName();
      const listener = closeAfterTest(createAsyncNativeSocket(AF_UNIX));
      bindAddr(listener, path, 0);
      listen(listener, 0);
      closeAfterTest(waitFor(dial(path, 0)));
      expect(failureOf(dial(path, 0))).toMatchObject({ code: "EAGAIN", syscall: "connect" });
    });

    test("an aborted accept leaves the connection for the next one", () => {
      const path = abstractName();
      const listener = unixListener(path);
      const controller = new AbortController();
      const aborted = accept(listener, { signal: controller.signal });
      controller.abort();
      expect(failureOf(aborted)).toBeInstanceOf(CancelledError);
      closeAfterTest(waitFor(dial(path, 0)));
      closeAfterTest(waitFor(accept(listener)));
    });
  });

  describe("datagrams", () => {
    test("come with the path of who sent them, for an answer", () => {
      withPath((path) => {
        const [server, client] = [unixDatagramSocket(`${path}-server`), unixDatagramSocket(`${path}-client`)];
        sendTo(client, "ping", SockAddr.of(`${path}-server`, 0));
        const from = new SockAddr();
        expect(waitFor(recvFromInto(server, new Uint8Array(10), 10, from))).toBe(4);
        expect([from.address, from.port, from.family]).toEqual([`${path}-client`, 0, AF_UNIX]);
        sendTo(server, "pong", from);
        expect(waitFor(recvFrom(client, 10)).data.toString()).toBe("pong");
      });
    });

    test("of a sender without a name come with an empty address, which nobody can send to", () => {
      const name = abstractName();
      const server = unixDatagramSocket(name);
      const from = SockAddr.of("127.0.0.1", 9);
      sendTo(unixDatagramSocket(), "x", SockAddr.of(name, 0));
      waitFor(recvFromInto(server, new Uint8Array(10), 10, from));
      expect([from.address, from.port, from.family]).toEqual(["", 0, Domain.AF_UNSPEC]);
      expect(() => sendTo(server, "x", from)).toThrow(ValueError);
    });

    test("go through a dialled socket", () => {
      const name = abstractName();
      const server = unixDatagramSocket(name);
      const client = closeAfterTest(waitFor(dial(name, 0, Protocol.IPPROTO_UDP)));
      waitFor(send(client, "one"));
      waitFor(send(client, "two"));
      expect([1, 2].map(() => waitFor(recvFrom(server, 10)).data.toString())).toEqual(["one", "two"]);
    });

    test("to a path that nobody has are ENOENT", () => {
      withPath((path) => {
        const error = failureOf(sendTo(unixDatagramSocket(), "x", SockAddr.of(path, 0)));
        expect(error).toMatchObject({ code: "ENOENT", message: `sendto ENOENT ${path}` });
      });
    });

    test("that are empty or too short a buffer are treated as those of UDP", () => {
      const name = abstractName();
      const server = unixDatagramSocket(name);
      const client = unixDatagramSocket();
      for (const text of ["", "0123456789"]) sendTo(client, text, SockAddr.of(name, 0));
      expect(waitFor(recvFrom(server, 4))).toMatchObject({ data: Buffer.alloc(0), truncated: false });
      expect(waitFor(recvFrom(server, 4))).toMatchObject({ data: Buffer.from("0123"), truncated: true, fullSize: 10 });
    });

    test("wait for a peer whose queue is full no longer than it exists", () => {
      const name = abstractName();
      const server = unixDatagramSocket(name);
      const client = unixDatagramSocket();
      let waiting = sendTo(client, "x", SockAddr.of(name, 0));
      while (waiting.finished) waiting = sendTo(client, "x", SockAddr.of(name, 0));
      closeSocket(server);
      expect(failureOf(waiting)).toMatchObject({ code: "ECONNREFUSED" });
    });
  });
}, "UNIX sockets: skipped on Windows");
