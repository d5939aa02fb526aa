import { describe, expect, test } from "bun:test";
import { dial, newAsyncSocket } from "../src/asyncnet.ts";
import {
  AssertionDefect,
  all,
  CancelledError,
  createAsyncNativeSocket,
  Domain,
  getGlobalDispatcher,
  newDispatcher,
  newFutureVar,
  OSError,
  poll,
  SOBool,
  SOInt,
  SocketFlag,
  SockType,
  setGlobalDispatcher,
  ValueError,
  withTimeout,
} from "../src/index.ts";
import { datagram, own, pair, server } from "./asyncnet-helper.ts";
import { abstractName, connectedPair, expectThrow, isWindows, isWine, onEachBackend, thrownBy } from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";

const peek = { flags: SocketFlag.Peek };
const KiB = 1024;

onEachBackend(() => {
  describe("recv of a buffered socket", () => {
    test("waits until there are as many bytes as asked for", () => {
      const [a, b] = pair();
      const received = b.recv(6);
      waitFor(a.send("abc"));
      poll(20);
      expect(received.finished).toBe(false);
      waitFor(a.send("defgh"));
      expect(waitFor(received).toString()).toBe("abcdef");
      expect(b.recv(2).read().toString()).toBe("gh");
    });

    test("gives fewer bytes at the end, then none", () => {
      const [a, b] = pair();
      waitFor(a.send("abc"));
      a.close();
      expect(waitFor(b.recv(100)).toString()).toBe("abc");
      expect(waitFor(b.recv(100)).length).toBe(0);
    });

    test("gives what is buffered at once, without the system", () => {
      const [a, b] = pair();
      waitFor(a.send("abcdef"));
      expect(waitFor(b.recv(2)).toString()).toBe("ab");
      expect(b.hasDataBuffered()).toBe(true);
      expect(b.recv(4).read().toString()).toBe("cdef");
      expect(b.hasDataBuffered()).toBe(false);
    });

    test("gives each of several readers its bytes, in their order, from one packet", () => {
      const [a, b] = pair();
      const received = [b.recv(2), b.recv(3), b.recv(1)];
      waitFor(a.send("abcdef"));
      expect(waitFor(all(received)).map(String)).toEqual(["ab", "cde", "f"]);
    });

    test("gives megabytes unharmed", () => {
      const [a, b] = pair();
      const data = Buffer.alloc(3 * KiB * KiB, "0123456789abcdefg");
      const sent = a.send(data);
      const received = b.recv(data.length);
      expect(waitFor(received).equals(data)).toBe(true);
      waitFor(sent);
    });

    test("gives a Buffer that later transfers leave alone", () => {
      const [a, b] = pair();
      waitFor(a.send("firstXsecond"));
      const first = waitFor(b.recv(5));
      waitFor(b.recv(7));
      waitFor(a.send("another"));
      waitFor(b.recv(7));
      expect(first.toString()).toBe("first");
    });

    test("with Peek gives what is there and leaves it", () => {
      const [a, b] = pair();
      waitFor(a.send("abc"));
      expect(waitFor(b.recv(100, peek)).toString()).toBe("abc");
      expect(waitFor(b.recv(2, peek)).toString()).toBe("ab");
      expect(waitFor(b.recv(3)).toString()).toBe("abc");
    });

    test("cancelled, leaves what had arrived to the next one", () => {
      const [a, b] = pair();
      const received = b.recv(10);
      waitFor(a.send("abc"));
      while (!b.hasDataBuffered()) poll();
      expect(received.cancel()).toBe(true);
      expect(failureOf(received)).toBeInstanceOf(CancelledError);
      expect(waitFor(b.recv(3)).toString()).toBe("abc");
    });

    test("cancelled, lets the one behind it have its turn", () => {
      const [a, b] = pair();
      const [first, second] = [b.recv(10), b.recv(2)];
      waitFor(a.send("abc"));
      while (!b.hasDataBuffered()) poll();
      first.cancel();
      expect(second.read().toString()).toBe("ab");
      expect(failureOf(first)).toBeInstanceOf(CancelledError);
    });

    test("is cancelled by its signal, and leaves nothing waiting", () => {
      const [, b] = pair();
      const controller = new AbortController();
      const received = b.recv(10, { signal: controller.signal });
      controller.abort("enough");
      expect((failureOf(received) as Error).cause).toBe("enough");
      expect(getGlobalDispatcher().statistics().waiters).toBe(0);
    });

    test("of size 0 gives nothing at once", () => {
      const [, b] = pair();
      expect(b.recv(0).read().length).toBe(0);
    });

    test.skipIf(isWine)(
      "takes a reset for the end, after what had arrived, unless SafeDisconn is off (skipped under Wine, which shows an end)",
      () => {
        for (const flags of [SocketFlag.SafeDisconn, SocketFlag.None]) {
          const [a, b] = pair();
          const received = b.recv(10, { flags });
          waitFor(a.send("abc"));
          while (!b.hasDataBuffered()) poll();
          a.setSockOpt(SOInt.OptLinger, 0);
          a.close();
          if (flags === SocketFlag.SafeDisconn) expect(waitFor(received).toString()).toBe("abc");
          else expect(failureOf(received)).toMatchObject({ code: "ECONNRESET", syscall: "recv" });
        }
      },
    );
  });

  describe("recv of an unbuffered socket", () => {
    test("gives whatever arrives", () => {
      const [a, b] = pair(false);
      waitFor(a.send("abc"));
      expect(waitFor(b.recv(100)).toString()).toBe("abc");
    });

    test("takes no more than asked for", () => {
      const [a, b] = pair(false);
      waitFor(a.send("abcdef"));
      expect(waitFor(b.recv(2)).toString()).toBe("ab");
      expect(b.hasDataBuffered()).toBe(false);
      expect(waitFor(b.recv(100)).toString()).toBe("cdef");
    });

    test("with Peek leaves it in the socket", () => {
      const [a, b] = pair(false);
      waitFor(a.send("abc"));
      expect(waitFor(b.recv(100, peek)).toString()).toBe("abc");
      expect(waitFor(b.recv(100)).toString()).toBe("abc");
    });
  });

  describe("recvInto", () => {
    test("of a buffered socket fills the buffer", () => {
      const [a, b] = pair();
      const bytes = Buffer.alloc(5);
      const received = b.recvInto(bytes);
      waitFor(a.send("ab"));
      waitFor(a.send("cdefg"));
      expect(waitFor(received)).toBe(5);
      expect(bytes.toString()).toBe("abcde");
    });

    test("of an unbuffered socket stores what arrives", () => {
      const [a, b] = pair(false);
      const bytes = Buffer.alloc(5);
      waitFor(a.send("ab"));
      expect(waitFor(b.recvInto(bytes.subarray(1)))).toBe(2);
      expect(bytes.toString()).toBe("\0ab\0\0");
    });

    test.each([true, false])("with Peek leaves it, buffered: %p", (buffered) => {
      const [a, b] = pair(buffered);
      const bytes = Buffer.alloc(5);
      waitFor(a.send("ab"));
      expect(waitFor(b.recvInto(bytes, 5, peek))).toBe(2);
      expect(bytes.toString()).toBe("ab\0\0\0");
      expect(waitFor(b.recv(2)).toString()).toBe("ab");
    });

    test("gives 0 at the end", () => {
      const [a, b] = pair();
      a.close();
      expect(waitFor(b.recvInto(new Uint8Array(4)))).toBe(0);
    });

    test("fails when its memory is detached meanwhile, and keeps the bytes", () => {
      const [a, b] = pair();
      const bytes = new Uint8Array(2);
      const received = b.recvInto(bytes);
      structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
      waitFor(a.send("ab"));
      const message = "recvInto: the buffer was detached or shrank while waiting";
      expect(failureOf(received)).toEqual(new ValueError(message));
      expect(waitFor(b.recv(2)).toString()).toBe("ab");
    });
  });

  describe("a closed socket", () => {
    const CALLS = ["recv", "recvInto", "recvLine", "recvLineInto", "send", "send nothing"] as const;
    test.each(CALLS)("fails %s with the same error (Q25)", (call) => {
      const [socket] = pair();
      socket.close();
      const calls = {
        recv: () => socket.recv(1),
        recvInto: () => socket.recvInto(new Uint8Array(1)),
        recvLine: () => socket.recvLine(),
        recvLineInto: () => socket.recvLineInto(newFutureVar<string>()),
        send: () => socket.send("x"),
        "send nothing": () => socket.send(""),
      };
      const name = call.startsWith("send") ? "send" : "recv";
      expectThrow(() => waitFor<unknown>(calls[call]()), AssertionDefect, `Cannot \`${name}\` on a closed socket`);
    });

    test("is closed once more without effect, and says that it is closed", () => {
      const [socket] = pair();
      expect(socket.isClosed()).toBe(false);
      socket.close();
      const other = createAsyncNativeSocket();
      socket.close();
      expect(socket.isClosed()).toBe(true);
      // The second call would close it, had it the number of the first.
      own(newAsyncSocket({ fd: other })).close();
    });

    test.each(["listen", "bindAddr", "getLocalAddr", "getPeerAddr"] as const)("refuses %s", (name) => {
      const [socket] = pair();
      socket.close();
      expectThrow(() => socket[name](), AssertionDefect, `Cannot \`${name}\` on a closed socket`);
    });

    test("fails what waited for it with EBADF", () => {
      const [a] = pair();
      const received = [a.recv(1), a.recvLine()];
      a.close();
      for (const future of received) expect(failureOf(future)).toMatchObject({ code: "EBADF" });
    });

    test("is closed at the end of a block", () => {
      const [a, b] = pair();
      {
        using _ = a;
      }
      expect(a.isClosed()).toBe(true);
      expect(waitFor(b.recv(1)).length).toBe(0);
    });

    test("leaves no descriptor when its dispatcher was closed before", () => {
      const own = getGlobalDispatcher();
      const other = newDispatcher();
      setGlobalDispatcher(other);
      const socket = newAsyncSocket();
      other.close();
      setGlobalDispatcher(own);
      socket.close();
    });
  });

  test("close makes the dispatcher forget the socket that it was made with, also when another is the global one", () => {
    const [a] = pair();
    const received = a.recv(1);
    const global = getGlobalDispatcher();
    using other = newDispatcher();
    setGlobalDispatcher(other);
    a.close();
    expect(global.handles.has(a.getFd())).toBe(false);
    setGlobalDispatcher(global);
    expect(failureOf(received)).toMatchObject({ code: "EBADF" });
  });

  describe("connections", () => {
    test("acceptAddr gives the peer's address, and a socket that is buffered as the listener is", () => {
      const { listener, port } = server(false);
      const dialled = dial("127.0.0.1", port);
      const { address, client } = waitFor(listener.acceptAddr());
      own(client);
      expect([address, client.isBuffered]).toEqual(["127.0.0.1", false]);
      expect(own(waitFor(dialled)).isBuffered).toBe(true);
    });

    test("connect connects a new socket to a host", () => {
      const { listener, port } = server();
      const socket = own(newAsyncSocket());
      const accepted = listener.accept();
      waitFor(socket.connect("localhost", port));
      own(waitFor(accepted));
      expect(socket.getPeerAddr()).toEqual(["127.0.0.1", port]);
    });

    test("connect gives the system's error", () => {
      const { listener, port } = server();
      listener.close();
      const socket = own(newAsyncSocket());
      expect(failureOf(socket.connect("127.0.0.1", port))).toMatchObject({ code: "ECONNREFUSED", port });
    });

    test("dial of an unknown name fails the future (Q22)", () => {
      expect(failureOf(dial("unknown.invalid", 80))).toBeInstanceOf(OSError);
    });

    test("accept that is cancelled leaves the connection to the next one", () => {
      const { listener, port } = server();
      const first = listener.accept();
      first.cancel();
      expect(failureOf(first)).toBeInstanceOf(CancelledError);
      const dialled = dial("127.0.0.1", port);
      own(waitFor(listener.accept()));
      own(waitFor(dialled));
    });

    test.skipIf(isWindows)(
      "connectUnix and bindUnix speak over an abstract name (UNIX sockets: skipped on Windows)",
      () => {
        const name = abstractName();
        const listener = own(newAsyncSocket(Domain.AF_UNIX));
        listener.bindUnix(name);
        listener.listen();
        const socket = own(newAsyncSocket(Domain.AF_UNIX));
        waitFor(socket.connectUnix(name));
        const client = own(waitFor(listener.accept()));
        waitFor(socket.send("over UNIX\n"));
        expect(waitFor(client.recvLine())).toBe("over UNIX");
      },
    );

    test("connectUnix and bindUnix refuse another domain", () => {
      const socket = own(newAsyncSocket());
      const text = (name: string) => `Cannot \`${name}\` on a socket that is not of the domain AF_UNIX`;
      expectThrow(() => socket.bindUnix("/tmp/x"), AssertionDefect, text("bindUnix"));
      expectThrow(() => waitFor(socket.connectUnix("/tmp/x")), AssertionDefect, text("connectUnix"));
    });

    test("newAsyncSocket takes a socket that there is, and knows what kind it is", () => {
      const [a, b] = connectedPair();
      const [first, second] = [newAsyncSocket({ fd: a }), newAsyncSocket({ fd: b, buffered: false })];
      expect([first.domain, first.sockType, first.isBuffered]).toEqual([Domain.AF_INET, SockType.SOCK_STREAM, true]);
      waitFor(first.send("wrapped"));
      expect(waitFor(second.recv(100)).toString()).toBe("wrapped");
    });

    test("options are set and read", () => {
      const socket = own(newAsyncSocket());
      socket.setSockOpt(SOBool.OptKeepAlive, true);
      expect(socket.getSockOpt(SOBool.OptKeepAlive)).toBe(true);
      socket.setSockOpt(SOInt.OptLinger, 3);
      expect(socket.getSockOpt(SOInt.OptLinger)).toBe(3);
    });
  });

  describe("datagrams", () => {
    test("are sent to a name, and tell who sent them", () => {
      const [a, b] = [datagram(), datagram()];
      waitFor(a.socket.sendTo("localhost", b.port, "hello"));
      const { data, address, port } = waitFor(b.socket.recvFrom(100));
      expect([data.toString(), address, port]).toEqual(["hello", "127.0.0.1", a.port]);
    });

    test("are given one by one: a datagram socket reads nothing ahead", () => {
      const [a, b] = [datagram(), datagram()];
      for (const text of ["one", "two"]) waitFor(a.socket.sendTo("127.0.0.1", b.port, text));
      expect(b.socket.isBuffered).toBe(false);
      expect(waitFor(b.socket.recv(100)).toString()).toBe("one");
      expect(waitFor(b.socket.recv(100)).toString()).toBe("two");
    });

    test("are refused of a stream, in the future", () => {
      const [a] = pair();
      const sent = failureOf(a.sendTo("127.0.0.1", 9, "x"));
      expect(sent).toEqual(new AssertionDefect("Cannot `sendTo` on a TCP socket. Use `send` instead"));
      const received = failureOf(a.recvFrom(10));
      expect(received).toEqual(
        new AssertionDefect("Cannot `recvFrom` on a TCP socket. Use `recv` or `recvInto` instead"),
      );
    });

    test("that wait for a lookup when their socket is closed are sent by no other one", () => {
      const [a, b] = [datagram(), datagram()];
      const sent = a.socket.sendTo("localhost", b.port, "hello");
      a.socket.close();
      const others = Array.from({ length: 5 }, datagram);
      expect(failureOf(sent)).toMatchObject({ code: "EBADF", syscall: "sendto" });
      expect(others.length).toBe(5);
      expect(waitFor(withTimeout(b.socket.recvFrom(100), 20))).toBe(false);
    });

    test("fail on a closed socket", () => {
      const { socket } = datagram();
      socket.close();
      expect((thrownBy(() => waitFor(socket.recvFrom(1))) as Error).message).toBe(
        "Cannot `recvFrom` on a closed socket",
      );
      expect((thrownBy(() => waitFor(socket.sendTo("127.0.0.1", 9, "x"))) as Error).message).toBe(
        "Cannot `sendTo` on a closed socket",
      );
    });
  });
});
