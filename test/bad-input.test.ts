import { describe, expect, test } from "bun:test";
import * as library from "../src/index.ts";
import {
  AssertionDefect,
  type AsyncFD,
  closeSocket,
  createAsyncNativeSocket,
  type Dispatcher,
  Domain,
  Future,
  getGlobalDispatcher,
  IOSelectorsException,
  newDispatcher,
  newFuture,
  OSError,
  Protocol,
  register,
  SOBool,
  SOInt,
  SockAddr,
  SockType,
  setGlobalDispatcher,
  ValueError,
} from "../src/index.ts";
import { closeAfterTest, connectedPair, datagramSocket, onEachBackend, openFifo } from "./backends.ts";

// The types are what is broken here.
// biome-ignore lint/suspicious/noExplicitAny: see above
const api = library as any;
// biome-ignore lint/suspicious/noExplicitAny: see above
type Any = any;

const TYPED_ERRORS = [TypeError, ValueError, AssertionDefect, OSError, IOSelectorsException];

/** The error that a call throws; a result, a future among them, is a failure of the test. */
function thrownBy(call: () => unknown): Error {
  let result: unknown;
  try {
    result = call();
  } catch (error) {
    return error as Error;
  }
  throw new Error(`nothing was thrown, the result is ${String(result)}`);
}

function expectClear(error: Error, type?: new (...args: never[]) => Error): void {
  const kind = TYPED_ERRORS.find((candidate) => error.constructor === candidate);
  expect(kind).toBe((type ?? kind) as typeof kind);
  expect(kind).toBeDefined();
  // What the engine says about an operation that went wrong deep inside is not clear.
  expect(error.message).not.toMatch(/is not an object|is not a function|undefined is not|evaluating|^$/);
}

const WRONG_DESCRIPTORS: [string, unknown, new (message: string) => Error][] = [
  ["undefined", undefined, TypeError],
  ["null", null, TypeError],
  ["a string", "3", TypeError],
  ["a bigint", 3n, TypeError],
  ["a property of arrays", "length", TypeError],
  ["a method of objects", "toString", TypeError],
  ["a symbol", Symbol("fd"), TypeError],
  ["an object", { valueOf: () => 3 }, TypeError],
  ["an object without a prototype", Object.create(null), TypeError],
  ["a function", () => 3, TypeError],
  ["true", true, TypeError],
  ["NaN", Number.NaN, ValueError],
  ["Infinity", Infinity, ValueError],
  ["a fraction", 1.5, ValueError],
  ["2 ** 31", 2 ** 31, ValueError],
  ["2 ** 53", 2 ** 53, ValueError],
];

const done = (): boolean => true;

/** The functions that take a descriptor, which only matters to some of them when it is registered. */
const REGISTERED_ONLY: Record<string, (fd: Any) => unknown> = {
  unregister: (fd) => api.unregister(fd),
  addRead: (fd) => api.addRead(fd, done),
  addWrite: (fd) => api.addWrite(fd, done),
  closeSocket: (fd) => api.closeSocket(fd),
  connect: (fd) => api.connect(fd, "127.0.0.1", 80),
  accept: (fd) => api.accept(fd),
  acceptAddr: (fd) => api.acceptAddr(fd),
  recv: (fd) => api.recv(fd, 10),
  recvInto: (fd) => api.recvInto(fd, new Uint8Array(10)),
  send: (fd) => api.send(fd, "x"),
  recvFrom: (fd) => api.recvFrom(fd, 10),
  recvFromInto: (fd) => api.recvFromInto(fd, new Uint8Array(10), 10, new SockAddr()),
  sendTo: (fd) => api.sendTo(fd, "x", SockAddr.of("127.0.0.1", 9)),
};
const ANY_DESCRIPTOR: Record<string, (fd: Any) => unknown> = {
  bindAddr: (fd) => api.bindAddr(fd, "127.0.0.1", 0),
  listen: (fd) => api.listen(fd),
  getLocalAddr: (fd) => api.getLocalAddr(fd),
  getPeerAddr: (fd) => api.getPeerAddr(fd),
  setSockOpt: (fd) => api.setSockOpt(fd, SOBool.OptKeepAlive, true),
  getSockOpt: (fd) => api.getSockOpt(fd, SOBool.OptKeepAlive),
};
const TAKES_DESCRIPTOR = {
  ...REGISTERED_ONLY,
  ...ANY_DESCRIPTOR,
  register: (fd: Any) => api.register(fd),
  setInheritable: (fd: Any) => api.setInheritable(fd, true),
};

const WRONG_NUMBERS = ["1", null, 1n, {}, Number.NaN, Infinity, 1.5];
const WRONG_PORTS = [...WRONG_NUMBERS, -1, 65_536];
const WRONG_SIZES = [...WRONG_NUMBERS, -1, 2 ** 53, 2 ** 31];
const WRONG_ADDRESSES = [undefined, null, 127, Buffer.from("127.0.0.1"), Object("127.0.0.1")];
const WRONG_FUNCTIONS = [undefined, null, "done", {}];
const WRONG_FUTURES = [undefined, null, 1, {}];
const WRONG_BYTES = [undefined, null, 65, [65], { byteLength: 4 }];
const WRONG_FLAGS = [{ flags: "1" }, { flags: 64 }, { flags: -1 }, { flags: 0.5 }];
const WRONG_SIGNALS = [{ signal: null }, { signal: {} }, { signal: "abort" }];
const WRONG_OPTIONS = [null, 1, "flags", ...WRONG_FLAGS, ...WRONG_SIGNALS];
/** Options with which nothing is started; what is wrong beside them is refused all the same. */
const ABORTED = { signal: AbortSignal.abort() };
const ABORTED_FLAGS = WRONG_FLAGS.map((flags) => ({ ...ABORTED, ...flags }));
const WRONG_INHERITABLE = [{ inheritable: null }, { inheritable: 1 }, { inheritable: "no" }];
const WRONG_DELAYS = [undefined, "1", null, 1n, Number.NaN, Infinity];
const WRONG_TIMEOUTS = ["1", null, Number.NaN, -2, -0.5];
const WRONG_SOCKET_OPTIONS = [...WRONG_NUMBERS, -1, 2 ** 53, 99, Symbol("option")];
const WRONG_DOMAINS = [...WRONG_NUMBERS, -1, 2 ** 53, 9999];
const TCP_STREAM = [Domain.AF_INET, SockType.SOCK_STREAM, Protocol.IPPROTO_TCP];

const WRONG_SOCK_ADDRS = [undefined, null, "127.0.0.1", ["127.0.0.1", 80], { address: "127.0.0.1", port: 80 }];
const WRONG_PATHS = [`/${"x".repeat(107)}`, `\0${"x".repeat(108)}`, "/a\0b"];
const NOBODY = new SockAddr();
const FOUR = new Uint8Array(4);
const udp = (): AsyncFD => datagramSocket().socket;

const fromToken = (token: Any): unknown => api.AsyncEvent.from(token);
const withEvent = (body: (event: Any) => unknown): unknown => {
  using event = api.newAsyncEvent();
  return body(event);
};

type Call = (value: Any, socket: AsyncFD) => unknown;

/** Every other argument of every function, and what it cannot be. */
const ARGUMENTS: [string, unknown[], Call][] = [
  ["recv's size", [...WRONG_SIZES, undefined], (v, fd) => api.recv(fd, v)],
  ["recv's options", WRONG_OPTIONS, (v, fd) => api.recv(fd, 1, v)],
  ["recvInto's buffer", [...WRONG_BYTES, "abc", new ArrayBuffer(4)], (v, fd) => api.recvInto(fd, v)],
  ["recvInto's size, for 4 bytes,", [...WRONG_SIZES, 5], (v, fd) => api.recvInto(fd, new Uint8Array(4), v)],
  ["recvInto's options", WRONG_OPTIONS, (v, fd) => api.recvInto(fd, new Uint8Array(4), 4, v)],
  ["send's data", WRONG_BYTES, (v, fd) => api.send(fd, v)],
  ["send's options", WRONG_OPTIONS, (v, fd) => api.send(fd, "x", v)],
  ["recvFrom's size", [...WRONG_SIZES, undefined], (v) => api.recvFrom(udp(), v)],
  ["recvFrom's options", WRONG_OPTIONS, (v) => api.recvFrom(udp(), 1, v)],
  ["recvFromInto's buffer", [...WRONG_BYTES, "abc", new ArrayBuffer(4)], (v) => api.recvFromInto(udp(), v, 4, NOBODY)],
  [
    "recvFromInto's size, for 4 bytes,",
    [...WRONG_SIZES, 5, undefined],
    (v) => api.recvFromInto(udp(), FOUR, v, NOBODY),
  ],
  ["recvFromInto's address", WRONG_SOCK_ADDRS, (v) => api.recvFromInto(udp(), FOUR, 4, v)],
  ["recvFromInto's options", WRONG_OPTIONS, (v) => api.recvFromInto(udp(), FOUR, 4, NOBODY, v)],
  ["sendTo's data", WRONG_BYTES, (v) => api.sendTo(udp(), v, SockAddr.of("127.0.0.1", 9))],
  ["sendTo's address", [...WRONG_SOCK_ADDRS, NOBODY], (v) => api.sendTo(udp(), "x", v)],
  ["sendTo's options", WRONG_OPTIONS, (v) => api.sendTo(udp(), "x", SockAddr.of("127.0.0.1", 9), v)],
  ["SockAddr.of's address", [...WRONG_ADDRESSES, "localhost", ""], (v) => SockAddr.of(v, 80)],
  ["SockAddr.of's port", [...WRONG_PORTS, undefined], (v) => SockAddr.of("127.0.0.1", v)],
  [
    "a SockAddr's new address",
    [...WRONG_ADDRESSES, "localhost", ""],
    (v) => Object.assign(new SockAddr(), { address: v }),
  ],
  ["a SockAddr's new port", [...WRONG_PORTS, undefined], (v) => Object.assign(new SockAddr(), { port: v })],
  ["a path", WRONG_PATHS, (v) => api.dial(v, 0)],
  ["a path", WRONG_PATHS, (v) => api.bindAddr(closeAfterTest(createAsyncNativeSocket(Domain.AF_UNIX)), v, 0)],
  ["a path", WRONG_PATHS, (v) => api.connect(closeAfterTest(createAsyncNativeSocket(Domain.AF_UNIX)), v, 0)],
  ["accept's options", [...WRONG_OPTIONS, ...WRONG_INHERITABLE], (v, fd) => api.accept(fd, v)],
  ["acceptAddr's options", [...WRONG_OPTIONS, ...WRONG_INHERITABLE], (v, fd) => api.acceptAddr(fd, v)],
  ["connect's address", WRONG_ADDRESSES, (v, fd) => api.connect(fd, v, 80)],
  ["connect's port", [...WRONG_PORTS, undefined], (v, fd) => api.connect(fd, "127.0.0.1", v)],
  ["connect's domain", [Domain.AF_INET6, "inet", null], (v, fd) => api.connect(fd, "127.0.0.1", 80, v)],
  ["dial's address", WRONG_ADDRESSES, (v) => api.dial(v, 80)],
  ["dial's port", [...WRONG_PORTS, undefined], (v) => api.dial("127.0.0.1", v)],
  ["dial's protocol", WRONG_SIZES, (v) => api.dial("127.0.0.1", 80, v)],
  ["bindAddr's address", WRONG_ADDRESSES, (v, fd) => api.bindAddr(fd, v, 0)],
  ["bindAddr's address", ["999.1.1.1", "::1", "unknown.invalid"], (v, fd) => api.bindAddr(fd, v, 0)],
  ["bindAddr's port", [...WRONG_PORTS, undefined], (v, fd) => api.bindAddr(fd, "127.0.0.1", v)],
  ["listen's backlog", WRONG_SIZES, (v, fd) => api.listen(fd, v)],
  ["a domain", WRONG_DOMAINS, (v) => api.createAsyncNativeSocket(v)],
  ["a kind of socket", WRONG_DOMAINS, (v) => api.createAsyncNativeSocket(Domain.AF_INET, v)],
  ["a protocol", [...WRONG_SIZES, 17], (v) => api.createAsyncNativeSocket(...TCP_STREAM.slice(0, 2), v)],
  ["a new socket's options", [null, 1, ...WRONG_INHERITABLE], (v) => api.createAsyncNativeSocket(...TCP_STREAM, v)],
  ["setInheritable's switch", [1, "on", null, undefined], (v, fd) => api.setInheritable(fd, v)],
  ["setSockOpt's option", WRONG_SOCKET_OPTIONS, (v, fd) => api.setSockOpt(fd, v, true)],
  ["setSockOpt's switch", [1, "on", undefined], (v, fd) => api.setSockOpt(fd, SOBool.OptKeepAlive, v)],
  ["setSockOpt's number", [...WRONG_SIZES, true], (v, fd) => api.setSockOpt(fd, SOInt.OptSendBuffer, v)],
  ["setSockOpt's linger", [...WRONG_NUMBERS, -2], (v, fd) => api.setSockOpt(fd, SOInt.OptLinger, v)],
  ["getSockOpt's option", WRONG_SOCKET_OPTIONS, (v, fd) => api.getSockOpt(fd, v)],
  ["addRead's callback", WRONG_FUNCTIONS, (v, fd) => api.addRead(fd, v)],
  ["addWrite's callback", WRONG_FUNCTIONS, (v, fd) => api.addWrite(fd, v)],
  ["callSoon's callback", WRONG_FUNCTIONS, (v) => api.callSoon(v)],
  ["addCallback's callback", WRONG_FUNCTIONS, (v) => newFuture().addCallback(v)],
  ["callback='s callback", WRONG_FUNCTIONS, (v) => Object.assign(newFuture(), { callback: v })],
  ["fail's error", [undefined, null, "x", {}], (v) => newFuture().fail(v)],
  ["async's procedure", WRONG_FUNCTIONS, (v) => api.async(v)],
  ["asyncCheck's future", WRONG_FUTURES, (v) => api.asyncCheck(v)],
  ["and's first future", WRONG_FUTURES, (v) => api.and(v, newFuture())],
  ["and's second future", WRONG_FUTURES, (v) => api.and(newFuture(), v)],
  ["or's first future", WRONG_FUTURES, (v) => api.or(v, newFuture())],
  ["or's second future", WRONG_FUTURES, (v) => api.or(newFuture(), v)],
  ["all's futures", [undefined, null, 1, {}, [1]], (v) => api.all(v)],
  ["Future.from's promise", WRONG_FUTURES, (v) => Future.from(v)],
  ["waitFor's awaitable", WRONG_FUTURES, (v) => api.waitFor(v)],
  ["withTimeout's future", WRONG_FUTURES, (v) => api.withTimeout(v, 1)],
  ["withTimeout's delay", WRONG_DELAYS, (v) => api.withTimeout(newFuture(), v)],
  ["sleepAsync's delay", WRONG_DELAYS, (v) => api.sleepAsync(v)],
  ["sleepAsync's options", [null, 1, ...WRONG_SIGNALS], (v) => api.sleepAsync(1, v)],
  ["dial's options", [null, 1, ...WRONG_SIGNALS], (v) => api.dial("127.0.0.1", 80, undefined, v)],
  ["connect's options", [null, 1, ...WRONG_SIGNALS], (v, fd) => api.connect(fd, "127.0.0.1", 80, undefined, v)],
  ["recv's size, aborted,", WRONG_SIZES, (v, fd) => api.recv(fd, v, ABORTED)],
  ["recv's flags, aborted,", ABORTED_FLAGS, (v, fd) => api.recv(fd, 1, v)],
  ["recvInto's buffer, aborted,", WRONG_BYTES, (v, fd) => api.recvInto(fd, v, 4, ABORTED)],
  ["send's data, aborted,", WRONG_BYTES, (v, fd) => api.send(fd, v, ABORTED)],
  ["recvFrom's size, aborted,", WRONG_SIZES, (v) => api.recvFrom(udp(), v, ABORTED)],
  ["recvFromInto's address, aborted,", WRONG_SOCK_ADDRS, (v) => api.recvFromInto(udp(), FOUR, 4, v, ABORTED)],
  ["sendTo's address, aborted,", WRONG_SOCK_ADDRS, (v) => api.sendTo(udp(), "x", v, ABORTED)],
  ["accept's flags, aborted,", ABORTED_FLAGS, (v, fd) => api.accept(fd, v)],
  ["acceptAddr's flags, aborted,", ABORTED_FLAGS, (v, fd) => api.acceptAddr(fd, v)],
  ["connect's port, aborted,", WRONG_PORTS, (v, fd) => api.connect(fd, "127.0.0.1", v, undefined, ABORTED)],
  ["dial's port, aborted,", WRONG_PORTS, (v) => api.dial("127.0.0.1", v, undefined, ABORTED)],
  ["sleepAsync's delay, aborted,", WRONG_DELAYS, (v) => api.sleepAsync(v, ABORTED)],
  ["waitProcess's process, aborted,", WRONG_SIZES, (v) => api.waitProcess(v, ABORTED)],
  ["addTimer's delay", [...WRONG_DELAYS, -1], (v) => api.addTimer(v, true, done)],
  ["addTimer's period", [...WRONG_DELAYS, -1, 0], (v) => api.addTimer(v, false, done)],
  ["addTimer's oneshot", [undefined, null, 1, "yes"], (v) => api.addTimer(1, v, done)],
  ["addTimer's callback", WRONG_FUNCTIONS, (v) => api.addTimer(1, true, v)],
  ["addEvent's event", [undefined, null, 1, {}, { index: 0, generation: 1, pid: 1 }], (v) => api.addEvent(v, done)],
  ["addEvent's callback", WRONG_FUNCTIONS, (v) => withEvent((event) => api.addEvent(event, v))],
  ["a token", [undefined, null, 1, "token", {}, []], (v) => api.AsyncEvent.from(v)],
  [
    "a token's number",
    [...WRONG_NUMBERS, -1, 2 ** 32],
    (v) => withEvent(({ token }) => fromToken({ ...token, index: v })),
  ],
  ["addProcess's process", [...WRONG_SIZES, undefined, 0], (v) => api.addProcess(v, done)],
  ["addProcess's callback", WRONG_FUNCTIONS, (v) => api.addProcess(process.pid, v)],
  ["waitProcess's process", [...WRONG_SIZES, undefined, 0], (v) => api.waitProcess(v)],
  ["waitProcess's options", [null, 1, ...WRONG_SIGNALS], (v) => api.waitProcess(process.pid, v)],
  ["addSignal's signal", [...WRONG_NUMBERS, -1, 0, 65, 2 ** 31, "SIGKILL", "USR1"], (v) => api.addSignal(v, done)],
  ["addSignal's callback", WRONG_FUNCTIONS, (v) => api.addSignal("SIGUSR1", v)],
  ["poll's timeout", WRONG_TIMEOUTS, (v) => api.poll(v)],
  ["drain's timeout", WRONG_TIMEOUTS, (v) => api.drain(v)],
  ["a selector", ["kqueue", 1, null, "toString", Symbol("epoll")], (v) => api.newDispatcher({ selector: v })],
  ["newDispatcher's options", [null, 1, "epoll"], (v) => api.newDispatcher(v)],
  ["setCallSoonProc's proc", WRONG_FUNCTIONS, (v) => api.setCallSoonProc(v)],
  ["setFutureLogging's argument", [undefined, null, 1, "on"], (v) => api.setFutureLogging(v)],
  ["multisync's procedure", WRONG_FUNCTIONS, (v) => api.multisync(v)],
  ["readAll's stream", [undefined, null, "text", {}, []], (v) => api.readAll(v)],
  ["newFutureStream's options", [null, 1, "mark"], (v) => api.newFutureStream("stream", v)],
  ["a high-water mark", ["1", {}, 0, -1, Number.NaN], (v) => api.newFutureStream("stream", { highWaterMark: v })],
  ["a stream's error", [undefined, null, "x", {}], (v) => api.newFutureStream().fail(v)],
  ["a stream's callback", WRONG_FUNCTIONS, (v) => Object.assign(api.newFutureStream(), { callback: v })],
  ["setGlobalDispatcher's dispatcher", [undefined, {}, 1], (v) => api.setGlobalDispatcher(v)],
  ["getIoHandler's dispatcher", [undefined, null, {}], (v) => api.getIoHandler(v)],
];

/** Functions without arguments that could be wrong, and those whose wrong arguments are asked for elsewhere. */
const WITHOUT_ROWS = [
  "activeDescriptors",
  "contains",
  "getGlobalDispatcher",
  "hasPendingOperations",
  "maxDescriptors",
].concat(
  ["newAsyncEvent", "newFuture", "newFutureVar", "runForever"],
  ["awaited", "getCallSoonProc", "getFuturesInProgress"],
);

test("every function of the package has its rows here", () => {
  const texts = [...Object.values(TAKES_DESCRIPTOR), ...ARGUMENTS.map(([, , call]) => call)].map(String).join("\n");
  const functions = Object.entries(api).filter(([name, value]) => typeof value === "function" && /^[a-z]/.test(name));
  const missing = functions.map(([name]) => name).filter((name) => !texts.includes(`api.${name}(`));
  expect(missing.sort()).toEqual(WITHOUT_ROWS.sort());
});

onEachBackend(() => {
  describe.each(Object.entries(TAKES_DESCRIPTOR))("%s refuses as a descriptor", (_name, call) => {
    test.each(WRONG_DESCRIPTORS)("%s", (_what, value, type) => {
      expectClear(
        thrownBy(() => call(value)),
        type,
      );
    });
  });

  test.each(Object.entries(REGISTERED_ONLY))("%s refuses a descriptor of another dispatcher", (_name, call) => {
    const fifo = openFifo();
    const own = getGlobalDispatcher();
    using other = newDispatcher();
    setGlobalDispatcher(other);
    register(fifo);
    setGlobalDispatcher(own);
    const error = thrownBy(() => call(fifo));
    expect(error.message).toMatch(
      /^(File descriptor not registered\.|Descriptor \d+ is not registered in the selector!)$/,
    );
  });

  test.each(Object.entries({ ...REGISTERED_ONLY, ...ANY_DESCRIPTOR }))("%s refuses a closed socket", (_name, call) => {
    const socket = createAsyncNativeSocket();
    closeSocket(socket);
    expectClear(thrownBy(() => call(socket)));
  });

  test.each(Object.entries({ ...REGISTERED_ONLY, ...ANY_DESCRIPTOR }))(
    "%s refuses a negative descriptor",
    (_name, call) => {
      expectClear(thrownBy(() => call(-1)));
    },
  );

  test.each(Object.entries(TAKES_DESCRIPTOR))("%s refuses the text of a registered descriptor", (_name, call) => {
    const socket = closeAfterTest(createAsyncNativeSocket());
    expectClear(
      thrownBy(() => call(String(socket))),
      TypeError,
    );
  });

  test("register refuses a closed descriptor", () => {
    const socket = createAsyncNativeSocket();
    closeSocket(socket);
    expectClear(
      thrownBy(() => register(socket)),
      IOSelectorsException,
    );
  });

  test("contains is false for whatever is no registered descriptor (Q16)", () => {
    for (const [, value] of WRONG_DESCRIPTORS) expect(api.contains(value)).toBe(false);
    const socket = closeAfterTest(createAsyncNativeSocket());
    for (const value of [-1, 1_000_000, 2 ** 40, String(socket)]) expect(api.contains(value)).toBe(false);
  });

  for (const [argument, values, call] of ARGUMENTS) {
    describe(`${argument} is refused as`, () => {
      test.each(values.map((value) => [Bun.inspect(value), value] as const))("%s", (_what, value) => {
        const socket = closeAfterTest(createAsyncNativeSocket());
        expectClear(thrownBy(() => call(value, socket)));
      });
    });
  }

  test("a refused call leaves nothing waiting", () => {
    const [a] = connectedPair();
    for (const [name, values, call] of ARGUMENTS) {
      if (!/^(recv|send|accept|add)/.test(name)) continue;
      for (const value of values) thrownBy(() => call(value, a));
    }
    expect(getGlobalDispatcher().statistics()).toMatchObject({ waiters: 0 });
  });

  test.each<[string, (dispatcher: Dispatcher) => unknown]>([
    ["poll", (dispatcher) => dispatcher.poll(0)],
    ["callSoon", (dispatcher) => dispatcher.callSoon(() => undefined)],
  ])("%s of a closed dispatcher is refused", (_name, call) => {
    const dispatcher = newDispatcher();
    dispatcher.close();
    expect(() => call(dispatcher)).toThrow(new ValueError("The dispatcher is closed."));
  });

  test("closing a dispatcher twice does nothing", () => {
    const dispatcher = newDispatcher();
    dispatcher.close();
    dispatcher.close();
  });
});
