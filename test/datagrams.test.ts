import { describe, expect, test } from "bun:test";
import {
  AssertionDefect,
  type AsyncFD,
  bindAddr,
  CancelledError,
  closeSocket,
  connect,
  createAsyncNativeSocket,
  Domain,
  dial,
  getGlobalDispatcher,
  getLocalAddr,
  OSError,
  Protocol,
  poll,
  recv,
  recvFrom,
  recvFromInto,
  SOInt,
  SockAddr,
  SocketFlag,
  SockType,
  SYNCHRONOUS_BUDGET,
  send,
  sendTo,
  setSockOpt,
  ValueError,
} from "../src/index.ts";
import {
  abstractName,
  closeAfterTest,
  connectedPair,
  datagramSocket,
  isWindows,
  isWine,
  onEachBackend,
  readableNoSocket,
} from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";

const LARGEST_UDP_DATAGRAM = 65_507;

/** Two sockets of which the first one's datagrams fill the second one's queue, which holds few. */
function unixPair() {
  return { a: datagramSocket(abstractName()), b: datagramSocket(abstractName()) };
}

/** Sends numbered datagrams until one waits; gives those futures that were not finished at once. */
function sendUntilItWaits(from: AsyncFD, to: SockAddr, more: number) {
  const waiting = [];
  let count = 0;
  while (waiting.length < more) {
    const future = sendTo(from, `datagram ${count++}`, to);
    if (!future.finished) waiting.push(future);
  }
  return { count, waiting };
}

/** A port on which nobody listens: one that was given to a socket that is closed. */
function deadAddress(): SockAddr {
  const { socket, address } = datagramSocket();
  closeSocket(socket);
  return address;
}

/** A connected socket whose datagram has been refused. */
function refusedSocket(): AsyncFD {
  const { address, port } = deadAddress();
  const socket = closeAfterTest(waitFor(dial(address, port, Protocol.IPPROTO_UDP)));
  waitFor(send(socket, "to nobody"));
  return socket;
}

onEachBackend(() => {
  describe("recvFrom", () => {
    test.each(["127.0.0.1", "::1"])("gives a datagram and who sent it, over %s", (host) => {
      const [a, b] = [datagramSocket(host), datagramSocket(host)];
      sendTo(a.socket, "hello", b.address);
      const datagram = waitFor(recvFrom(b.socket, 100));
      expect(datagram).toEqual({ data: Buffer.from("hello"), address: host, port: a.address.port } as never);
    });

    test("waits for a datagram", () => {
      const { socket, address } = datagramSocket();
      const future = recvFrom(socket, 100);
      poll(0);
      expect(future.finished).toBe(false);
      sendTo(socket, "x", address);
      expect(waitFor(future).data.toString()).toBe("x");
    });

    test("gives each datagram by itself, in order", () => {
      const { socket, address } = datagramSocket();
      for (const text of ["one", "two", "three"]) sendTo(socket, text, address);
      const texts = [1, 2, 3].map(() => waitFor(recvFrom(socket, 100)).data.toString());
      expect(texts).toEqual(["one", "two", "three"]);
    });

    test("gives several who wait one datagram each, in their order", () => {
      const { socket, address } = datagramSocket();
      const futures = [recvFrom(socket, 10), recvFrom(socket, 10), recvFrom(socket, 10)];
      for (const text of ["1", "2", "3"]) sendTo(socket, text, address);
      expect(futures.map((future) => waitFor(future).data.toString())).toEqual(["1", "2", "3"]);
    });

    test("takes an empty datagram for a datagram", () => {
      const { socket, address } = datagramSocket();
      sendTo(socket, "", address);
      sendTo(socket, "after it", address);
      expect(waitFor(recvFrom(socket, 10))).toMatchObject({ data: Buffer.alloc(0), port: address.port });
      expect(waitFor(recvFrom(socket, 10)).data.toString()).toBe("after it");
    });

    test("tells that a datagram did not fit, and gives the next one whole", () => {
      const { socket, address } = datagramSocket();
      sendTo(socket, "0123456789", address);
      sendTo(socket, "abcd", address);
      const { data, truncated, fullSize } = waitFor(recvFrom(socket, 4));
      expect([data.toString(), truncated, fullSize]).toEqual(["0123", true, 10]);
      const next = waitFor(recvFrom(socket, 4));
      expect([next.data.toString(), next.truncated, next.fullSize]).toEqual(["abcd", false, 4]);
    });

    test("of no bytes takes a datagram out of the socket", () => {
      const { socket, address } = datagramSocket();
      sendTo(socket, "lost", address);
      sendTo(socket, "next", address);
      expect(waitFor(recvFrom(socket, 0))).toMatchObject({ truncated: true, fullSize: 4 });
      expect(waitFor(recvFrom(socket, 10)).data.toString()).toBe("next");
    });

    test("with Peek leaves the datagram in the socket", () => {
      const { socket, address } = datagramSocket();
      sendTo(socket, "hello", address);
      const flags = SocketFlag.Peek;
      expect(waitFor(recvFrom(socket, 2, { flags }))).toMatchObject({ data: Buffer.from("he"), fullSize: 5 });
      expect(waitFor(recvFrom(socket, 10, { flags })).data.toString()).toBe("hello");
      expect(waitFor(recvFrom(socket, 10)).data.toString()).toBe("hello");
    });

    test("gives the largest datagram, whatever size is asked for", () => {
      const { socket, address } = datagramSocket();
      const data = Buffer.alloc(LARGEST_UDP_DATAGRAM, "0123456789abcdef!");
      waitFor(sendTo(socket, data, address));
      const datagram = waitFor(recvFrom(socket, 2 ** 31 - 1));
      expect(datagram.data.equals(data)).toBe(true);
      expect(datagram.truncated).toBe(false);
    });

    test("gives memory that the next datagram leaves alone", () => {
      const { socket, address } = datagramSocket();
      sendTo(socket, "first", address);
      sendTo(socket, "again", address);
      const first = waitFor(recvFrom(socket, 10));
      waitFor(recvFrom(socket, 10));
      expect(first.data.toString()).toBe("first");
    });

    test("gives datagrams that have arrived at once, but lets others have their turn", () => {
      const { socket, address } = datagramSocket();
      for (let i = 0; i <= SYNCHRONOUS_BUDGET + 2; i++) waitFor(sendTo(socket, "x", address));
      waitFor(recvFrom(socket, 1));
      let finished = 0;
      let future = recvFrom(socket, 1);
      for (; future.finished; future = recvFrom(socket, 1)) finished += 1;
      expect(finished).toBe(SYNCHRONOUS_BUDGET);
      waitFor(future);
    });

    test("of an IPv6 socket shows an IPv4 sender as IPv4", () => {
      const server = closeAfterTest(createAsyncNativeSocket(Domain.AF_INET6, SockType.SOCK_DGRAM));
      bindAddr(server, "", 0);
      const client = datagramSocket();
      sendTo(client.socket, "x", SockAddr.of("127.0.0.1", getLocalAddr(server)[1]));
      const from = new SockAddr();
      expect(waitFor(recvFromInto(server, new Uint8Array(1), 1, from))).toBe(1);
      expect([from.address, from.port, from.family]).toEqual(["127.0.0.1", client.address.port, Domain.AF_INET6]);
    });
  });

  describe("recvFromInto", () => {
    test("fills the buffer up to size, and the address", () => {
      const [a, b] = [datagramSocket(), datagramSocket()];
      const buffer = Buffer.from("..........");
      const from = SockAddr.of("/somewhere/else", 0);
      sendTo(a.socket, "hello", b.address);
      expect(waitFor(recvFromInto(b.socket, buffer, 8, from))).toBe(5);
      expect(buffer.toString()).toBe("hello.....");
      expect([from.address, from.port, from.family]).toEqual(["127.0.0.1", a.address.port, Domain.AF_INET]);
    });

    test("gives the bytes that are stored of a datagram that does not fit, and tells it", () => {
      const { socket, address } = datagramSocket();
      const buffer = Buffer.from("..........");
      const from = new SockAddr();
      sendTo(socket, "0123456789", address);
      sendTo(socket, "x", address);
      expect(waitFor(recvFromInto(socket, buffer, 4, from))).toBe(4);
      expect([buffer.toString(), from.truncated]).toEqual(["0123......", true]);
      waitFor(recvFromInto(socket, buffer, 4, from));
      expect(from.truncated).toBe(false);
    });

    test("gives 0 for an empty datagram", () => {
      const { socket, address } = datagramSocket();
      sendTo(socket, "", address);
      expect(waitFor(recvFromInto(socket, new Uint8Array(4), 4, new SockAddr()))).toBe(0);
    });

    test("takes a buffer without room", () => {
      const { socket, address } = datagramSocket();
      const from = new SockAddr();
      sendTo(socket, "x", address);
      expect(waitFor(recvFromInto(socket, new Uint8Array(0), 0, from))).toBe(0);
      expect([from.truncated, from.port]).toEqual([true, address.port]);
    });

    test("gives an address to answer to", () => {
      const [client, server] = [datagramSocket(), datagramSocket()];
      const from = new SockAddr();
      sendTo(client.socket, "ping", server.address);
      waitFor(recvFromInto(server.socket, new Uint8Array(4), 4, from));
      sendTo(server.socket, "pong", from);
      expect(waitFor(recvFrom(client.socket, 10)).data.toString()).toBe("pong");
    });

    test("fails when the buffer is detached while it waits, and takes no datagram", () => {
      const { socket, address } = datagramSocket();
      const buffer = new ArrayBuffer(8);
      const future = recvFromInto(socket, new Uint8Array(buffer), 8, new SockAddr());
      structuredClone(buffer, { transfer: [buffer] });
      sendTo(socket, "x", address);
      expect(failureOf(future)).toBeInstanceOf(ValueError);
      expect(waitFor(recvFrom(socket, 10)).data.toString()).toBe("x");
    });
  });

  describe("sendTo", () => {
    test("sends at once", () => {
      const { socket, address } = datagramSocket();
      const future = sendTo(socket, "x", address);
      expect(future.finished).toBe(true);
      expect(getGlobalDispatcher().hasPendingOperations()).toBe(false);
    });

    test.each([
      ["a string, as UTF-8", "äöü"],
      ["a typed array", new Uint8Array(Buffer.from("äöü"))],
      ["a DataView", new DataView(new Uint8Array(Buffer.from("äöü")).buffer)],
      ["an ArrayBuffer", new Uint8Array(Buffer.from("äöü")).buffer],
    ])("sends %s", (_what, data) => {
      const { socket, address } = datagramSocket();
      waitFor(sendTo(socket, data, address));
      expect(waitFor(recvFrom(socket, 10)).data.toString()).toBe("äöü");
    });

    test("fails with EMSGSIZE for a datagram that is too large", () => {
      const { socket, address } = datagramSocket();
      const error = failureOf(sendTo(socket, Buffer.alloc(LARGEST_UDP_DATAGRAM + 1), address));
      expect(error).toBeInstanceOf(OSError);
      expect(error).toMatchObject({ code: "EMSGSIZE", syscall: "sendto", address: "127.0.0.1", port: address.port });
    });

    test("fails with EAFNOSUPPORT for an address of another family", () => {
      const { socket } = datagramSocket();
      expect(failureOf(sendTo(socket, "x", SockAddr.of("::1", 9)))).toMatchObject({ code: "EAFNOSUPPORT" });
    });

    test("to everybody is EACCES without OptBroadcast", () => {
      const { socket } = datagramSocket();
      const everybody = SockAddr.of("255.255.255.255", 9);
      expect(failureOf(sendTo(socket, "x", everybody))).toMatchObject({ code: "EACCES" });
    });

    test.skipIf(isWindows)(
      "waits while the other's queue is full, and keeps the order (UNIX sockets: skipped on Windows)",
      () => {
        const { a, b } = unixPair();
        const { count, waiting } = sendUntilItWaits(a.socket, b.address, 3);
        const received = [];
        while (received.length < count) received.push(waitFor(recvFrom(b.socket, 100)).data.toString());
        expect(received).toEqual(Array.from({ length: count }, (_, i) => `datagram ${i}`));
        for (const future of waiting) waitFor(future);
      },
    );

    test.skipIf(isWindows)("does not spin while the other's queue is full (UNIX sockets: skipped on Windows)", () => {
      const { a, b } = unixPair();
      sendUntilItWaits(a.socket, b.address, 1);
      const before = getGlobalDispatcher().statistics().wakeups;
      const end = performance.now() + 50;
      while (performance.now() < end) poll(50);
      expect(getGlobalDispatcher().statistics().wakeups - before).toBeLessThan(200);
    });

    test.skipIf(isWindows)("keeps the address of a datagram that waits (UNIX sockets: skipped on Windows)", () => {
      const { a, b } = unixPair();
      const to = SockAddr.of(b.address.address, 0);
      const { count } = sendUntilItWaits(a.socket, to, 1);
      to.address = a.address.address;
      let last = "";
      for (let i = 0; i < count; i++) last = waitFor(recvFrom(b.socket, 100)).data.toString();
      expect(last).toBe(`datagram ${count - 1}`);
    });

    test.skipIf(isWindows)("fails when the data is detached while it waits (UNIX sockets: skipped on Windows)", () => {
      const { a, b } = unixPair();
      sendUntilItWaits(a.socket, b.address, 1);
      const buffer = new ArrayBuffer(8);
      const future = sendTo(a.socket, buffer, b.address);
      structuredClone(buffer, { transfer: [buffer] });
      waitFor(recvFrom(b.socket, 100));
      waitFor(recvFrom(b.socket, 100));
      expect(failureOf(future)).toBeInstanceOf(ValueError);
    });
  });

  describe("a datagram that was refused is ECONNREFUSED", () => {
    test.skipIf(isWine)("for one who waits (skipped under Wine, which loses it)", () => {
      const { address, port } = deadAddress();
      const socket = closeAfterTest(waitFor(dial(address, port, Protocol.IPPROTO_UDP)));
      const future = recvFrom(socket, 10);
      waitFor(send(socket, "to nobody"));
      expect(failureOf(future)).toMatchObject({ code: "ECONNREFUSED", syscall: "recvfrom" });
    });

    test.skipIf(isWine)("for the next recvFrom, once (skipped under Wine, which loses it)", () => {
      const socket = refusedSocket();
      expect(failureOf(recvFrom(socket, 10))).toMatchObject({ code: "ECONNREFUSED" });
      const future = recvFrom(socket, 10);
      poll(0);
      expect(future.finished).toBe(false);
    });

    test.skipIf(isWindows)("for the next sendTo (skipped on Windows, which tells only who receives)", () => {
      const socket = refusedSocket();
      expect(failureOf(sendTo(socket, "x", deadAddress()))).toMatchObject({ code: "ECONNREFUSED", syscall: "sendto" });
    });

    test("not for a socket that is not connected", () => {
      const { socket, address } = datagramSocket();
      waitFor(sendTo(socket, "x", deadAddress()));
      waitFor(sendTo(socket, "still there", address));
      expect(waitFor(recvFrom(socket, 20)).data.toString()).toBe("still there");
    });
  });

  describe("the end of a wait", () => {
    test("closing the socket fails who waits with EBADF", () => {
      const { socket } = datagramSocket();
      const future = recvFrom(socket, 10);
      closeSocket(socket);
      expect(failureOf(future)).toMatchObject({ code: "EBADF" });
    });

    test("an aborted recvFrom loses no datagram", () => {
      const { socket, address } = datagramSocket();
      const controller = new AbortController();
      const future = recvFrom(socket, 10, { signal: controller.signal });
      sendTo(socket, "kept", address);
      controller.abort();
      expect(failureOf(future)).toBeInstanceOf(CancelledError);
      expect(waitFor(recvFrom(socket, 10)).data.toString()).toBe("kept");
    });

    test("an aborted recvFromInto leaves buffer and address alone", () => {
      const { socket, address } = datagramSocket();
      const controller = new AbortController();
      const buffer = Buffer.from("....");
      const from = new SockAddr();
      const future = recvFromInto(socket, buffer, 4, from, { signal: controller.signal });
      controller.abort();
      sendTo(socket, "kept", address);
      expect(failureOf(future)).toBeInstanceOf(CancelledError);
      waitFor(recvFrom(socket, 10));
      expect([buffer.toString(), from.family]).toEqual(["....", Domain.AF_UNSPEC]);
    });

    test.skipIf(isWindows)("an aborted sendTo that waits sends nothing (UNIX sockets: skipped on Windows)", () => {
      const { a, b } = unixPair();
      const { count } = sendUntilItWaits(a.socket, b.address, 1);
      const controller = new AbortController();
      const future = sendTo(a.socket, "aborted", b.address, { signal: controller.signal });
      controller.abort();
      expect(failureOf(future)).toBeInstanceOf(CancelledError);
      for (let i = 0; i < count; i++) waitFor(recvFrom(b.socket, 100));
      const after = recvFrom(b.socket, 100);
      waitFor(sendTo(a.socket, "after it", b.address));
      expect(waitFor(after).data.toString()).toBe("after it");
    });
  });

  describe("what has no datagrams", () => {
    test("a stream's socket is refused, and its bytes stay", () => {
      const [a, b] = connectedPair();
      waitFor(send(b, "kept"));
      expect(() => recvFrom(a, 10)).toThrow(
        new AssertionDefect("Cannot `recvFrom` on a TCP socket. Use `recv` or `recvInto` instead"),
      );
      expect(() => sendTo(a, "x", SockAddr.of("127.0.0.1", 9))).toThrow(
        new AssertionDefect("Cannot `sendTo` on a TCP socket. Use `send` instead"),
      );
      expect(waitFor(recv(a, 10)).toString()).toBe("kept");
    });

    test("what is no socket fails with ENOTSOCK", () => {
      const failed = sendTo(readableNoSocket(), "x", SockAddr.of("127.0.0.1", 9));
      expect(failureOf(failed)).toMatchObject({ code: "ENOTSOCK" });
    });
  });

  test("a connected socket is given only its peer's datagrams", () => {
    const [peer, stranger, own] = [datagramSocket(), datagramSocket(), datagramSocket()];
    waitFor(connect(own.socket, peer.address.address, peer.address.port));
    sendTo(stranger.socket, "stranger", own.address);
    sendTo(peer.socket, "peer", own.address);
    expect(waitFor(recvFrom(own.socket, 10)).data.toString()).toBe("peer");
  });

  test("a burst that the socket has no room for is cut short, not delayed", () => {
    const [a, b] = [datagramSocket(), datagramSocket()];
    setSockOpt(b.socket, SOInt.OptRecvBuffer, 4096);
    for (let i = 0; i < 500; i++) waitFor(sendTo(a.socket, `datagram ${i}`, b.address));
    expect(waitFor(recvFrom(b.socket, 100)).data.toString()).toBe("datagram 0");
  });
});

describe("SockAddr", () => {
  test.each([
    ["127.0.0.1", Domain.AF_INET, "127.0.0.1"],
    ["::1", Domain.AF_INET6, "::1"],
    ["2001:DB8:0:0:0:0:0:1", Domain.AF_INET6, "2001:db8::1"],
    ["::ffff:1.2.3.4", Domain.AF_INET6, "1.2.3.4"],
    ["fe80::1%1", Domain.AF_INET6, "fe80::1%1"],
    ["fe80::1%lo", Domain.AF_INET6, "fe80::1%1"],
  ])("of %s", (text, family, shown) => {
    const address = SockAddr.of(text, 80);
    expect([address.family, address.address, address.port]).toEqual([family, shown, 80]);
  });

  test.each([
    ["a path", "/run/a.sock"],
    ["a relative path", "./a.sock"],
    ["an abstract name", "\0name"],
    ["a path of 107 bytes", `/${"x".repeat(106)}`],
    ["a path of 107 bytes in fewer characters", `/${"ä".repeat(53)}`],
    ["an abstract name of 108 bytes", `\0${"x".repeat(107)}`],
    ["an abstract name with another NUL in it", "\0a\0b"],
  ])("of %s", (_what, path) => {
    const address = SockAddr.of(path, 80);
    expect([address.family, address.address, address.port]).toEqual([Domain.AF_UNIX, path, 0]);
  });

  test.each([
    ["the name of a host", "localhost"],
    ["nothing", ""],
    ["an IPv4 address in short", "127.1"],
    ["an IPv4 address with a number too large", "256.0.0.1"],
    ["half an IPv6 address", "1:2:3"],
    ["a path of 108 bytes", `/${"x".repeat(107)}`],
    ["a path of 108 bytes in fewer characters", `/x${"ä".repeat(53)}`],
    ["an abstract name of 109 bytes", `\0${"x".repeat(108)}`],
    ["a path with a NUL in it", "/a\0b"],
  ])("refuses %s", (_what, address) => {
    expect(() => SockAddr.of(address, 80)).toThrow(ValueError);
  });

  test("refuses an interface that does not exist", () => {
    expect(() => SockAddr.of("fe80::1%nowhere", 80)).toThrow(OSError);
  });

  test("is empty when it is new", () => {
    const { address, port, family, truncated } = new SockAddr();
    expect([address, port, family, truncated]).toEqual(["", 0, Domain.AF_UNSPEC, false]);
  });

  test("can be given another address and another port", () => {
    const address = SockAddr.of("127.0.0.1", 80);
    address.port = 81;
    expect([address.address, address.port]).toEqual(["127.0.0.1", 81]);
    address.address = "::1";
    expect([address.address, address.port, address.family]).toEqual(["::1", 81, Domain.AF_INET6]);
    address.address = "/path";
    address.port = 82;
    expect([address.address, address.port]).toEqual(["/path", 0]);
  });
});
