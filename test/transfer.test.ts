import { expect, test } from "bun:test";
import {
  type AsyncFD,
  all,
  async,
  closeSocket,
  drain,
  OSError,
  recv,
  recvInto,
  SOBool,
  SOInt,
  SocketFlag,
  SYNCHRONOUS_BUDGET,
  send,
  setSockOpt,
  sleepAsync,
  unregister,
  ValueError,
} from "../src/index.ts";
import { errno } from "../src/native/socket.ts";
import {
  connectedPair,
  isWindows,
  isWine,
  onEachBackend,
  readableNoSocket,
  readFrom,
  shutdownWriting,
} from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";
import { isQemu } from "./qemu.ts";

const MiB = 1024 * 1024;
const ARENA_SIZE = 512 * 1024;
const UNREGISTERED = 12_345 as AsyncFD;

/** Bytes that repeat nowhere near: a lost, doubled or swapped part shows. */
function pattern(size: number, seed: number): Buffer {
  const words = new Uint32Array(size / 4);
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return Buffer.from(words.buffer);
}

const recvExactly = async(function* (socket: AsyncFD, size: number, partSize: number = size) {
  const parts: Buffer[] = [];
  for (let left = size; left > 0; ) {
    const part: Buffer = yield* recv(socket, Math.min(partSize, left));
    if (part.length === 0) throw new Error(`ended ${left} bytes too early`);
    parts.push(part);
    left -= part.length;
  }
  return Buffer.concat(parts);
});

/** Leaves little room between two sockets, so that few sends fit without anybody reading. */
function narrow(sender: AsyncFD, receiver: AsyncFD): void {
  setSockOpt(sender, SOInt.OptSendBuffer, 4096);
  setSockOpt(receiver, SOInt.OptRecvBuffer, 4096);
}

/** Sends until the future is not finished at return; gives it, and how much was given to the socket before. */
function sendUntilItWaits(socket: AsyncFD, part: Uint8Array, flags?: number) {
  for (let sent = 0; ; sent += part.length) {
    const future = send(socket, part, flags === undefined ? {} : { flags });
    if (!future.finished) return { future, sent };
  }
}

/** Closes so that the peer gets a reset. */
function reset(socket: AsyncFD): void {
  setSockOpt(socket, SOInt.OptLinger, 0);
  closeSocket(socket);
}

function detach(buffer: ArrayBuffer): void {
  structuredClone(buffer, { transfer: [buffer] });
}

onEachBackend(() => {
  test("recv gives what is there, at most size bytes", () => {
    const [a, b] = connectedPair();
    send(a, "hello");
    expect(waitFor(recv(b, 3)).toString()).toBe("hel");
    expect(waitFor(recv(b, 100)).toString()).toBe("lo");
  });

  test("recv gives an empty Buffer at the end of the data", () => {
    const [a, b] = connectedPair();
    send(a, "last");
    closeSocket(a);
    expect(waitFor(recv(b, 100)).toString()).toBe("last");
    expect(waitFor(recv(b, 100)).length).toBe(0);
    expect(waitFor(recv(b, 100)).length).toBe(0);
  });

  test("recv gives a Buffer of its own that later transfers leave alone", () => {
    const [a, b] = connectedPair();
    send(a, "first");
    const first = waitFor(recv(b, 100));
    send(a, "XXXXXXXXXX");
    waitFor(recv(b, 100));
    expect(first.toString()).toBe("first");
    expect(first.buffer.byteLength).toBe(5);
  });

  test("recv of size 0 gives an empty Buffer at once, without data (Q17)", () => {
    const [, b] = connectedPair();
    const future = recv(b, 0);
    expect(future.finished).toBe(true);
    expect(future.read().length).toBe(0);
  });

  test("recvInto of size 0 gives 0 at once (Q17)", () => {
    const [, b] = connectedPair();
    expect(recvInto(b, new Uint8Array(4), 0).read()).toBe(0);
  });

  test("recv with Peek leaves the data in the socket", () => {
    const [a, b] = connectedPair();
    send(a, "hello");
    expect(waitFor(recv(b, 100, { flags: SocketFlag.Peek })).toString()).toBe("hello");
    expect(waitFor(recv(b, 100)).toString()).toBe("hello");
  });

  test("two waiting recvs get consecutive data, in order", () => {
    const [a, b] = connectedPair();
    const both = all([recv(b, 2), recv(b, 2)]);
    send(a, "abcd");
    expect(waitFor(both).map(String)).toEqual(["ab", "cd"]);
  });

  test("a second recv goes on waiting when the first takes everything", () => {
    const [a, b] = connectedPair();
    const first = recv(b, 100);
    const second = recv(b, 100);
    send(a, "one");
    expect(waitFor(first).toString()).toBe("one");
    drain(0);
    expect(second.finished).toBe(false);
    send(a, "two");
    expect(waitFor(second).toString()).toBe("two");
  });

  test("recv gives at most the arena's size at once and loses nothing beyond it", () => {
    const [a, b] = connectedPair();
    const data = pattern(4 * ARENA_SIZE, 7);
    send(a, data);
    const parts: Buffer[] = [];
    for (let left = data.length; left > 0; ) {
      const part = waitFor(recv(b, 8 * MiB));
      parts.push(part);
      left -= part.length;
    }
    expect(Math.max(...parts.map((part) => part.length))).toBeLessThanOrEqual(ARENA_SIZE);
    expect(Buffer.concat(parts).equals(data)).toBe(true);
  });

  test("recvInto fills the view and nothing beside it", () => {
    const [a, b] = connectedPair();
    const memory = new Uint8Array(8);
    send(a, "abcdef");
    expect(waitFor(recvInto(b, memory.subarray(2, 6)))).toBe(4);
    expect([...memory]).toEqual([0, 0, 97, 98, 99, 100, 0, 0]);
  });

  test("recvInto receives at most size bytes", () => {
    const [a, b] = connectedPair();
    const memory = new Uint8Array(8);
    send(a, "abcdef");
    expect(waitFor(recvInto(b, memory, 2))).toBe(2);
    expect([...memory.subarray(0, 3)]).toEqual([97, 98, 0]);
  });

  test("recvInto gives 0 at the end of the data", () => {
    const [a, b] = connectedPair();
    closeSocket(a);
    expect(waitFor(recvInto(b, new Uint8Array(8)))).toBe(0);
  });

  test("recvInto refuses a size beyond the buffer", () => {
    const [, b] = connectedPair();
    expect(() => recvInto(b, new Uint8Array(8), 9)).toThrow(ValueError);
  });

  test("send is finished at return when the socket has room", () => {
    const [a] = connectedPair();
    expect(send(a, "hello").finished).toBe(true);
  });

  test("8 MiB go both ways at once, whole, to readers that are slow", () => {
    const [a, b] = connectedPair();
    const [there, back] = [pattern(8 * MiB, 1), pattern(8 * MiB, 2)];
    const sent = all([send(a, there), send(b, back)]);
    expect(sent.finished).toBe(false);
    const received = waitFor(all([recvExactly(b, there.length, 50_000), recvExactly(a, back.length, 60_000)]));
    waitFor(sent);
    expect(received[0]?.equals(there)).toBe(true);
    expect(received[1]?.equals(back)).toBe(true);
  });

  test("sends that were not waited for keep their order while the peer does not read", () => {
    const [a, b] = connectedPair();
    const texts = Array.from({ length: 500 }, (_, i) => `${i}:${"x".repeat(i * 80)};`);
    const sends = texts.map((text) => send(a, text));
    expect(sends.at(-1)?.finished).toBe(false);
    const expected = texts.join("");
    expect(waitFor(recvExactly(b, expected.length)).toString() === expected).toBe(true);
    waitFor(all(sends));
  });

  test("a send does not overtake one that waits, although the socket has room again", () => {
    const [a, b] = connectedPair();
    const { sent } = sendUntilItWaits(a, Buffer.alloc(MiB, "1"));
    let taken = 0;
    while (taken < MiB) taken += readFrom(b, Buffer.alloc(MiB)); // behind the loop's back
    send(a, "2");
    const rest = waitFor(recvExactly(b, sent + MiB + 1 - taken));
    expect(rest.indexOf("2")).toBe(rest.length - 1);
  });

  test("a send finishes only once all of its data is in the socket", () => {
    const [a, b] = connectedPair();
    narrow(a, b);
    const { future, sent } = sendUntilItWaits(a, new Uint8Array(1000));
    drain(0);
    expect(future.finished).toBe(false);
    waitFor(recvExactly(b, sent + 1000));
    waitFor(future);
  });

  test("send of nothing is done at once and leaves even an unregistered descriptor alone", () => {
    for (const nothing of ["", new Uint8Array(0), new ArrayBuffer(0)]) {
      expect(send(UNREGISTERED, nothing).finished).toBe(true);
    }
  });

  test.each([
    ["a string, as UTF-8", "añ☃😀", "añ☃😀"],
    ["a Buffer", Buffer.from("abc"), "abc"],
    ["a part of an array", Buffer.from("-abc-").subarray(1, 4), "abc"],
    ["a Uint16Array", new Uint16Array([0x6261, 0x6463]), "abcd"],
    ["a DataView of a part", new DataView(Uint8Array.from([45, 97, 98, 45]).buffer, 1, 2), "ab"],
    ["an ArrayBuffer", Uint8Array.from([97, 98]).buffer, "ab"],
  ])("send takes %s", (_what, data, expected) => {
    const [a, b] = connectedPair();
    send(a, data);
    expect(waitFor(recv(b, 100)).toString()).toBe(expected);
  });

  test("a buffer detached while recvInto waits fails it, and the data stays in the socket", () => {
    const [a, b] = connectedPair();
    const buffer = new ArrayBuffer(100);
    const future = recvInto(b, new Uint8Array(buffer));
    detach(buffer);
    send(a, "data");
    expect(failureOf(future)).toBeInstanceOf(ValueError);
    expect(waitFor(recv(b, 100)).toString()).toBe("data");
  });

  test.skipIf(isQemu)(
    "a buffer that shrank while recvInto waits fails it (skipped under qemu, where Bun aborts)",
    () => {
      const [a, b] = connectedPair();
      const buffer = new ArrayBuffer(100, { maxByteLength: 100 });
      const future = recvInto(b, new Uint8Array(buffer));
      buffer.resize(10);
      send(a, "data");
      expect(failureOf(future)).toBeInstanceOf(ValueError);
    },
  );

  test("data detached while send waits fails it", () => {
    const [a, b] = connectedPair();
    narrow(a, b);
    const { sent } = sendUntilItWaits(a, new Uint8Array(1000));
    const buffer = new ArrayBuffer(1000);
    const future = send(a, buffer);
    detach(buffer);
    waitFor(recvExactly(b, sent + 1000));
    expect(failureOf(future)).toBeInstanceOf(ValueError);
  });

  test("recv after a reset gives an empty Buffer with SafeDisconn (R21)", () => {
    const [a, b] = connectedPair();
    reset(a);
    expect(waitFor(recv(b, 100)).length).toBe(0);
  });

  test.skipIf(isWine)(
    "recv after a reset fails with ECONNRESET without SafeDisconn (R21; skipped under Wine, which shows an end)",
    () => {
      const [a, b] = connectedPair();
      reset(a);
      const error = failureOf(recv(b, 100, { flags: SocketFlag.None }));
      expect(error).toBeInstanceOf(OSError);
      expect(error).toMatchObject({
        code: "ECONNRESET",
        errorCode: errno.ECONNRESET,
        errno: -errno.ECONNRESET,
        syscall: "recv",
      });
    },
  );

  test("recvInto after a reset gives 0 with SafeDisconn (R21)", () => {
    const [a, b] = connectedPair();
    reset(a);
    expect(waitFor(recvInto(b, new Uint8Array(4)))).toBe(0);
  });

  test.skipIf(isWine)(
    "recvInto after a reset fails with ECONNRESET without SafeDisconn (R21; skipped under Wine, which shows an end)",
    () => {
      const [a, b] = connectedPair();
      reset(a);
      const future = recvInto(b, new Uint8Array(4), 4, { flags: SocketFlag.None });
      expect(failureOf(future)).toMatchObject({ code: "ECONNRESET" });
    },
  );

  test("send to a peer that is gone succeeds with SafeDisconn, although the data is lost (Q23, R21)", () => {
    const [a, b] = connectedPair();
    reset(a);
    waitFor(send(b, "lost"));
    waitFor(send(b, "lost as well"));
  });

  test("send to a peer that is gone fails without SafeDisconn, with EPIPE on POSIX (R21)", () => {
    const [a, b] = connectedPair();
    reset(a);
    waitFor(recv(b, 1)); // takes the reset itself
    const error = failureOf(send(b, "lost", { flags: SocketFlag.None }));
    expect(error).toMatchObject({ code: isWindows ? "ECONNRESET" : "EPIPE", syscall: "send" });
  });

  test("a send that waits fails when the peer resets the connection", () => {
    const [a, b] = connectedPair();
    narrow(a, b);
    const { future } = sendUntilItWaits(a, new Uint8Array(1000), SocketFlag.None);
    reset(b);
    expect(failureOf(future)).toMatchObject({ code: "ECONNRESET", syscall: "send" });
  });

  test("a peer that has stopped sending still receives", () => {
    const [a, b] = connectedPair();
    send(a, "question");
    shutdownWriting(a);
    expect(waitFor(recv(b, 100)).toString()).toBe("question");
    expect(waitFor(recv(b, 100)).length).toBe(0);
    waitFor(send(b, "answer", { flags: SocketFlag.None }));
    expect(waitFor(recv(a, 100)).toString()).toBe("answer");
  });

  test.each([
    ["closeSocket", closeSocket, "EBADF"],
    ["unregister", unregister, "ECANCELED"],
  ] as const)("%s leaves an operation alone that its caller finished, and fails the next one", (_name, end, code) => {
    const [a] = connectedPair();
    const [finished, waiting] = [recv(a, 1), recv(a, 1)];
    finished.complete(Buffer.from("x"));
    end(a);
    expect(failureOf(waiting)).toMatchObject({ code });
  });

  test("recv of a descriptor that is no socket fails with ENOTSOCK", () => {
    expect(failureOf(recv(readableNoSocket(), 100))).toMatchObject({ code: "ENOTSOCK", syscall: "recv" });
  });

  test("send to a descriptor that is no socket fails with ENOTSOCK", () => {
    expect(failureOf(send(readableNoSocket(), "x"))).toMatchObject({ code: "ENOTSOCK", syscall: "send" });
  });

  test("sends that never wait let a timer run meanwhile (SYNCHRONOUS_BUDGET)", () => {
    const [a, b] = connectedPair();
    setSockOpt(a, SOBool.OptNoDelay, true);
    let sends = 0;
    const flood = async(function* () {
      for (; sends < 2000; sends++) yield* send(a, "x");
    })();
    expect(sends).toBe(SYNCHRONOUS_BUDGET);
    waitFor(sleepAsync(0));
    expect(sends).toBeLessThan(2000);
    expect(waitFor(recvExactly(b, 2000)).toString()).toBe("x".repeat(2000));
    waitFor(flood);
  });
});
