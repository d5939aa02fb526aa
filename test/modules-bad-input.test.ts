import { describe, expect, test } from "bun:test";
import { openSync } from "node:fs";
import * as file from "../src/asyncfile.ts";
import * as net from "../src/asyncnet.ts";
import {
  AssertionDefect,
  type AsyncFD,
  Domain,
  getGlobalDispatcher,
  IOSelectorsException,
  OSError,
  SOBool,
  SocketFlag,
  SockType,
  ValueError,
} from "../src/index.ts";
import { datagram, own, pair } from "./asyncnet-helper.ts";
import {
  closeAfterTest,
  closeFileAfterTest,
  isWindows,
  onEachBackend,
  openFifo,
  readableNoSocket,
  thrownBy,
} from "./backends.ts";

// The types are what is broken here.
// biome-ignore lint/suspicious/noExplicitAny: see above
type Any = any;
const api = { ...net, ...file } as Any;

const WRONG_NUMBERS = ["1", null, 1n, {}, Number.NaN, Infinity, 1.5, -1];
const WRONG_SIZES = [...WRONG_NUMBERS, 2 ** 31];
const WRONG_PORTS = [...WRONG_NUMBERS, 65_536];
const WRONG_STRINGS = [undefined, null, 127, Buffer.from("x"), {}];
const WRONG_BYTES = [undefined, null, 65, [65], { byteLength: 4 }];
const WRONG_VIEWS = [...WRONG_BYTES, "abc", new ArrayBuffer(4)];
const WRONG_SIGNALS = [null, 1, { signal: null }, { signal: {} }];
const WRONG_OPTIONS = [...WRONG_SIGNALS, { flags: "1" }, { flags: 64 }];
/** Options with which nothing is started; what is wrong beside them is refused all the same. */
const ABORTED = { signal: AbortSignal.abort() };
const WRONG_INHERITABLE = [{ inheritable: null }, { inheritable: 1 }];
const WRONG_LENGTHS = [0, -1, 1.5, "1", null, 2 ** 31].map((maxLength) => ({ maxLength }));
const WRONG_DESCRIPTORS = [undefined, null, "3", 1.5, -1, Number.NaN, 2 ** 31, 1_000_000];
const WRONG_DOMAINS = [Number.NaN, 1.5, "2", null, 9999];
const FOUR = new Uint8Array(4);

const udp = (): Any => datagram().socket;
const closed = (): Any => {
  const socket = net.newAsyncSocket();
  socket.close();
  return socket;
};
const unix = (): Any => own(net.newAsyncSocket(Domain.AF_UNIX));

type SocketCall = (value: Any, socket: Any) => unknown;

const SOCKET_ROWS: [string, unknown[], SocketCall][] = [
  ["newAsyncSocket's domain", WRONG_DOMAINS, (v) => api.newAsyncSocket(v)],
  ["newAsyncSocket's kind", WRONG_DOMAINS, (v) => api.newAsyncSocket(Domain.AF_INET, v)],
  ["newAsyncSocket's protocol", ["6", 1.5, 17], (v) => api.newAsyncSocket(Domain.AF_INET, SockType.SOCK_STREAM, v)],
  [
    "newAsyncSocket's options",
    [null, 1, true, { buffered: 1 }, { buffered: null }, { inheritable: 0 }],
    (v) => api.newAsyncSocket(Domain.AF_INET, SockType.SOCK_STREAM, 6, v),
  ],
  ["a descriptor", [...WRONG_DESCRIPTORS, readableNoSocket], (v) => api.newAsyncSocket({ fd: v?.call ? v() : v })],
  ["a descriptor's options", ["no", 0, null], (v, { fd }) => api.newAsyncSocket({ fd, buffered: v })],
  ["dial's address", WRONG_STRINGS, (v) => api.dial(v, 80)],
  ["dial's port", [...WRONG_PORTS, undefined], (v) => api.dial("127.0.0.1", v)],
  ["dial's protocol", ["6", null, 1.5], (v) => api.dial("127.0.0.1", 80, v)],
  ["dial's options", [...WRONG_SIGNALS, { buffered: 1 }], (v) => api.dial("127.0.0.1", 80, undefined, v)],
  ["recv's size", [...WRONG_SIZES, undefined], (v, s) => s.recv(v)],
  ["recv's options", WRONG_OPTIONS, (v, s) => s.recv(1, v)],
  ["recvInto's buffer", WRONG_VIEWS, (v, s) => s.recvInto(v)],
  ["recvInto's size, for 4 bytes,", [...WRONG_SIZES, 5], (v, s) => s.recvInto(FOUR, v)],
  ["recvInto's options", WRONG_OPTIONS, (v, s) => s.recvInto(FOUR, 4, v)],
  ["recvLine's options", [...WRONG_OPTIONS, ...WRONG_LENGTHS], (v, s) => s.recvLine(v)],
  ["recvLine's flags", [{ flags: SocketFlag.Peek }], (v, s) => s.recvLine(v)],
  ["recvLineInto's variable", [undefined, null, "", {}], (v, s) => s.recvLineInto(v)],
  ["send's data", WRONG_BYTES, (v, s) => s.send(v)],
  ["send's options", WRONG_OPTIONS, (v, s) => s.send("x", v)],
  ["accept's options", [...WRONG_OPTIONS, ...WRONG_INHERITABLE], (v, s) => s.accept(v)],
  ["acceptAddr's options", [...WRONG_OPTIONS, ...WRONG_INHERITABLE], (v, s) => s.acceptAddr(v)],
  ["accept's options, of a closed socket,", WRONG_INHERITABLE, (v) => closed().accept(v)],
  ["acceptAddr's options, of a closed socket,", WRONG_INHERITABLE, (v) => closed().acceptAddr(v)],
  ["recv's size, aborted,", WRONG_SIZES, (v, s) => s.recv(v, ABORTED)],
  ["recvInto's buffer, aborted,", WRONG_VIEWS, (v, s) => s.recvInto(v, 4, ABORTED)],
  ["recvLine's length, aborted,", WRONG_LENGTHS, (v, s) => s.recvLine({ ...ABORTED, ...v })],
  ["sendTo's port, aborted,", WRONG_PORTS, (v) => udp().sendTo("127.0.0.1", v, "x", ABORTED)],
  ["connect's address", WRONG_STRINGS, (v, s) => s.connect(v, 80)],
  ["connect's port", [...WRONG_PORTS, undefined], (v, s) => s.connect("127.0.0.1", v)],
  ["connect's options", WRONG_SIGNALS, (v, s) => s.connect("127.0.0.1", 80, v)],
  ["connectUnix's path", [...WRONG_STRINGS, "/a\0b", `/${"x".repeat(108)}`], (v) => unix().connectUnix(v)],
  ["connectUnix's options", WRONG_SIGNALS, (v) => unix().connectUnix("/tmp/x", v)],
  ["bindUnix's path", [...WRONG_STRINGS, "", "/a\0b", `/${"x".repeat(108)}`], (v) => unix().bindUnix(v)],
  ["bindAddr's port", WRONG_PORTS, (v, s) => s.bindAddr(v)],
  ["bindAddr's address", [...WRONG_STRINGS.slice(1), "999.1.1.1"], (v, s) => s.bindAddr(0, v)],
  ["bindAddr's address, of a UNIX socket,", [""], (v) => unix().bindAddr(0, v)],
  ["listen's backlog", WRONG_SIZES, (v, s) => s.listen(v)],
  ["setSockOpt's option", [...WRONG_NUMBERS, 99], (v, s) => s.setSockOpt(v, true)],
  ["setSockOpt's value", [1, "on", undefined], (v, s) => s.setSockOpt(SOBool.OptKeepAlive, v)],
  ["getSockOpt's option", [...WRONG_NUMBERS, 99], (v, s) => s.getSockOpt(v)],
  ["sendTo's address", WRONG_STRINGS, (v) => udp().sendTo(v, 9, "x")],
  ["sendTo's port", [...WRONG_PORTS, undefined], (v) => udp().sendTo("127.0.0.1", v, "x")],
  ["sendTo's data", WRONG_BYTES, (v) => udp().sendTo("127.0.0.1", 9, v)],
  ["sendTo's options", WRONG_OPTIONS, (v) => udp().sendTo("127.0.0.1", 9, "x", v)],
  ["recvFrom's size", [...WRONG_SIZES, undefined], (v) => udp().recvFrom(v)],
  ["recvFrom's options", WRONG_OPTIONS, (v) => udp().recvFrom(1, v)],
];

const FILE_ROWS: [string, unknown[], SocketCall][] = [
  ["openAsync's path", WRONG_STRINGS, (v) => api.openAsync(v)],
  ["openAsync's path", ["", "a\0b", "/nowhere/at/all"], (v) => api.openAsync(v)],
  ["openAsync's mode", [null, 0, "rw", "constructor", {}], (v) => api.openAsync("/dev/null", v)],
  ["newAsyncFile's descriptor", WRONG_DESCRIPTORS, (v) => api.newAsyncFile(v)],
  ["read's size", [...WRONG_SIZES, undefined, 0], (v, f) => f.read(v)],
  ["read's options", WRONG_SIGNALS, (v, f) => f.read(1, v)],
  ["read's size, aborted,", WRONG_SIZES, (v, f) => f.read(v, ABORTED)],
  ["readBuffer's buffer, aborted,", WRONG_VIEWS, (v, f) => f.readBuffer(v, 4, ABORTED)],
  ["readLine's length, aborted,", WRONG_LENGTHS, (v, f) => f.readLine({ ...ABORTED, ...v })],
  ["write's data, aborted,", WRONG_BYTES, (v, f) => f.write(v, ABORTED)],
  ["writeBuffer's buffer, aborted,", WRONG_VIEWS, (v, f) => f.writeBuffer(v, 4, ABORTED)],
  ["readBuffer's buffer", WRONG_VIEWS, (v, f) => f.readBuffer(v)],
  ["readBuffer's size, for 4 bytes,", [...WRONG_SIZES, 5], (v, f) => f.readBuffer(FOUR, v)],
  ["readBuffer's options", WRONG_SIGNALS, (v, f) => f.readBuffer(FOUR, 4, v)],
  ["readLine's options", [...WRONG_SIGNALS, ...WRONG_LENGTHS], (v, f) => f.readLine(v)],
  ["readAll's options", WRONG_SIGNALS, (v, f) => f.readAll(v)],
  ["write's data", WRONG_BYTES, (v, f) => f.write(v)],
  ["write's options", WRONG_SIGNALS, (v, f) => f.write("x", v)],
  ["writeBuffer's buffer", WRONG_VIEWS, (v, f) => f.writeBuffer(v)],
  ["writeBuffer's size, for 4 bytes,", [...WRONG_SIZES, 5], (v, f) => f.writeBuffer(FOUR, v)],
  ["writeBuffer's options", WRONG_SIGNALS, (v, f) => f.writeBuffer(FOUR, 4, v)],
  ["setFilePos's position", [...WRONG_NUMBERS, undefined, 2 ** 53], (v, f) => f.setFilePos(v)],
  ["setFileSize's size", [...WRONG_NUMBERS, undefined, 2 ** 53], (v, f) => f.setFileSize(v)],
  ["writeFromStream's stream", [undefined, null, {}, []], (v, f) => f.writeFromStream(v)],
  ["readToStream's stream", [undefined, null, {}, []], (v, f) => f.readToStream(v)],
];

const TYPES: unknown[] = [TypeError, ValueError, AssertionDefect, OSError, IOSelectorsException];

function expectClear(error: unknown): void {
  expect(TYPES).toContain((error as Error).constructor);
  expect((error as Error).message).not.toMatch(/is not an object|is not a function|undefined is not|evaluating|^$/);
}

/** The methods of a class that take arguments. */
function methodsOf(type: { prototype: object }): string[] {
  const described = Object.entries(Object.getOwnPropertyDescriptors(type.prototype));
  const methods = described.filter(([name, { value }]) => typeof value === "function" && name !== "constructor");
  return methods.map(([name]) => name);
}

test.each([
  ["AsyncSocket", net.AsyncSocket, SOCKET_ROWS],
  ["AsyncFile", file.AsyncFile, FILE_ROWS],
] as const)("every method of an %s that takes something has its rows here", (_name, type, rows) => {
  const calls = rows.map(([, , call]) => String(call)).join("\n");
  const missing = methodsOf(type).filter((name) => !calls.includes(`.${name}(`));
  const without = [
    "attempt",
    "close",
    "failureUnlessUnix",
    "getFd",
    "getFilePos",
    "getFileSize",
    "getLocalAddr",
  ].concat(
    ["getPeerAddr", "hasDataBuffered", "isClosed", "peekInto", "refuseStream", "requireOpen", "requireSeekable"],
    ["sibling", "start", "startReading", "startWriting"],
  );
  expect(missing.filter((name) => !without.includes(name))).toEqual([]);
});

function openFile(): AsyncFD {
  return isWindows ? closeFileAfterTest(openSync(import.meta.path, "r") as AsyncFD) : closeAfterTest(openFifo());
}

onEachBackend(() => {
  for (const [argument, values, call] of SOCKET_ROWS) {
    describe(`${argument} is refused as`, () => {
      test.each(values.map((value) => [Bun.inspect(value), value] as const))("%s", (_what, value) => {
        const [socket] = pair();
        expectClear(thrownBy(() => call(value, socket)));
        expect(getGlobalDispatcher().statistics().waiters).toBe(0);
      });
    });
  }

  for (const [argument, values, call] of FILE_ROWS) {
    describe(`${argument} is refused as`, () => {
      test.each(values.map((value) => [Bun.inspect(value), value] as const))("%s", (_what, value) => {
        const opened = file.newAsyncFile(openFile());
        expectClear(thrownBy(() => call(value, opened)));
        expect(getGlobalDispatcher().statistics().waiters).toBe(0);
      });
    });
  }
});
