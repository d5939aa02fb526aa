import { expect, test } from "bun:test";
import { openSync } from "node:fs";
import {
  AssertionDefect,
  type AsyncFD,
  addRead,
  addWrite,
  callSoon,
  contains,
  createAsyncNativeSocket,
  getGlobalDispatcher,
  getIoHandler,
  hasPendingOperations,
  IOSelectorsException,
  maxDescriptors,
  newDispatcher,
  newFuture,
  poll,
  recv,
  register,
  type SelectorKind,
  setGlobalDispatcher,
  sleepAsync,
  unregister,
  ValueError,
} from "../src/index.ts";
import { errno } from "../src/native/socket.ts";
import {
  closeAfterTest,
  closeDescriptor,
  closeFileAfterTest,
  connectedPair,
  emptyFifo,
  expectThrow,
  isWindows,
  onEachBackend,
  openFifo,
  readableFifo,
} from "./backends.ts";
import { descriptorCount, openDescriptors } from "./descriptors.ts";

const CANCELED = { name: "OSError", code: "ECANCELED" };

/** The selectors of this platform. */
const KINDS = isWindows ? ["iocp"] : ["epoll", "select"];

onEachBackend((selector) => {
  test("Q16: contains is true of a registered descriptor alone", () => {
    const fd = openFifo();
    expect(contains(fd)).toBe(false);
    register(fd);
    expect(contains(fd)).toBe(true);
    unregister(fd);
    expect(contains(fd)).toBe(false);
  });

  test("Q16: contains is false of a huge and of a negative number", () => {
    expect(contains(1_000_000 as AsyncFD)).toBe(false);
    expect(contains(-7 as AsyncFD)).toBe(false);
  });

  test("handles are the registered descriptors, as of the time they are asked for", () => {
    const dispatcher = getGlobalDispatcher();
    const first = emptyFifo();
    const handles = dispatcher.handles;
    const second = emptyFifo();
    expect([...handles]).toEqual([first]);
    expect([...dispatcher.handles]).toEqual([first, second]);
  });

  test("register twice raises an AssertionDefect", () => {
    const fd = emptyFifo();
    expectThrow(() => register(fd), AssertionDefect, `Descriptor ${fd} already registered`);
  });

  test("register a descriptor that is not open raises an IOSelectorsException", () => {
    const fd = openFifo();
    closeDescriptor(fd);
    expectThrow(() => register(fd), IOSelectorsException, `Bad file descriptor (code: ${errno.EBADF})`);
    expect(contains(fd)).toBe(false);
  });

  test("register of a number that no descriptor of the process can have raises an IOSelectorsException", () => {
    const message = "Maximum number of descriptors is exhausted!";
    expectThrow(() => register((maxDescriptors() + 1) as AsyncFD), IOSelectorsException, message);
  });

  test("register what is no descriptor raises a TypeError or a ValueError", () => {
    expectThrow(() => register("x" as never), TypeError, "Expected a descriptor, got string");
    expectThrow(() => register(1.5 as AsyncFD), ValueError, "1.5 is not a descriptor");
    expectThrow(() => register((2 ** 31) as AsyncFD), ValueError, "2147483648 is not a descriptor");
    expectThrow(() => register((-(2 ** 32) + 1) as AsyncFD), ValueError, "-4294967295 is not a descriptor");
  });

  test("unregister an unregistered descriptor raises an AssertionDefect", () => {
    const fd = openFifo();
    expectThrow(() => unregister(fd), AssertionDefect, `Descriptor ${fd} is not registered in the selector!`);
  });

  test("addRead and addWrite of an unregistered descriptor raise a ValueError", () => {
    const fd = openFifo();
    expectThrow(() => addRead(fd, () => true), ValueError, "File descriptor not registered.");
    expectThrow(() => addWrite(fd, () => true), ValueError, "File descriptor not registered.");
  });

  test("addRead without a callback raises a TypeError", () => {
    const fd = emptyFifo();
    expectThrow(() => addRead(fd, null as never), TypeError, "Expected a callback, got null");
  });

  test.skipIf(isWindows)(
    "a regular file can be registered, but waiting for it raises EPERM (skipped on Windows, whose files have numbers of their own)",
    () => {
      const file = closeAfterTest(openSync(import.meta.path, "r") as AsyncFD);
      register(file);
      expectThrow(() => addRead(file, () => true), IOSelectorsException, "Operation not permitted (code: 1)");
      expect(hasPendingOperations()).toBe(false);
    },
  );

  test("unregister fails the operations that wait with ECANCELED", () => {
    const [a] = connectedPair();
    const received = recv(a, 10);
    unregister(a);
    expect(received.error).toMatchObject(CANCELED);
  });

  test("a number that was closed behind the loop's back can be opened again: operations on it fail with EBADF", () => {
    const fd = emptyFifo();
    const received = recv(fd, 10);
    closeDescriptor(fd);
    // Other threads open descriptors, too.
    for (let triesLeft = 100; triesLeft > 0 && !received.finished; triesLeft--)
      closeAfterTest(createAsyncNativeSocket());
    expect(received.error).toMatchObject({ name: "OSError", code: "EBADF" });
    expect(contains(fd)).toBe(true);
  });

  test("callbacks of a number that was closed behind the loop's back are not called for what has it next", () => {
    const fd = readableFifo();
    let calls = 0;
    addRead(fd, () => {
      closeDescriptor(fd);
      let socket: AsyncFD | undefined;
      // Other threads open descriptors, too.
      for (let triesLeft = 100; triesLeft > 0 && socket !== fd; triesLeft--)
        socket = closeAfterTest(createAsyncNativeSocket());
      return true;
    });
    addRead(fd, () => ++calls > 0);
    poll();
    expect(calls).toBe(0);
  });

  test("callbacks of a number are not called any more once it is registered again", () => {
    const fd = readableFifo();
    let calls = 0;
    addRead(fd, () => {
      unregister(fd);
      register(fd);
      return true;
    });
    addRead(fd, () => ++calls > 0);
    poll();
    expect(calls).toBe(0);
  });

  test("a number that came to name a file that cannot be watched can be unregistered", () => {
    const fd = emptyFifo();
    addRead(fd, () => true);
    closeDescriptor(fd);
    let file = fd;
    do file = closeFileAfterTest(openSync(import.meta.path, "r") as AsyncFD);
    while (file < fd);
    unregister(fd);
    expect(hasPendingOperations()).toBe(false);
  });

  test("unregister drops the callbacks that wait", () => {
    const fd = readableFifo();
    let calls = 0;
    addRead(fd, () => {
      calls += 1;
      return true;
    });
    unregister(fd);
    sleepAsync(2);
    poll();
    expect(calls).toBe(0);
  });

  test("a descriptor can be registered again after unregister", () => {
    const fd = readableFifo();
    addRead(fd, () => true);
    unregister(fd);
    register(fd);
    let called = false;
    addRead(fd, () => {
      called = true;
      return true;
    });
    poll();
    expect(called).toBe(true);
  });

  test("callSoon without a callback raises a TypeError", () => {
    expectThrow(() => callSoon(42 as never), TypeError, "Expected a callback, got number");
  });

  test("getGlobalDispatcher gives the same dispatcher each time", () => {
    expect(getGlobalDispatcher()).toBe(getGlobalDispatcher());
  });

  test("setGlobalDispatcher(null) has a new dispatcher made on next use", () => {
    using old = getGlobalDispatcher();
    setGlobalDispatcher(null);
    using next = getGlobalDispatcher();
    expect(next).not.toBe(old);
  });

  test("setGlobalDispatcher raises an AssertionDefect while callbacks are queued", () => {
    callSoon(() => {});
    expectThrow(() => setGlobalDispatcher(null), AssertionDefect, "`gDisp.callbacks.len == 0`");
  });

  test("setGlobalDispatcher of something else raises a TypeError", () => {
    expectThrow(() => setGlobalDispatcher({} as never), TypeError, "Expected a Dispatcher or null, got Object");
  });

  test("what is registered with one dispatcher is unknown to another", () => {
    const fd = emptyFifo();
    const first = getGlobalDispatcher();
    using second = newDispatcher({ selector });
    setGlobalDispatcher(second);
    expect(contains(fd)).toBe(false);
    setGlobalDispatcher(first);
    expect(contains(fd)).toBe(true);
  });

  test("during a dispatcher's poll that dispatcher is the global one, and the former one is afterwards", () => {
    const first = getGlobalDispatcher();
    using second = newDispatcher({ selector });
    let during: unknown;
    second.callSoon(() => {
      during = getGlobalDispatcher();
    });
    second.poll();
    expect(during).toBe(second);
    expect(getGlobalDispatcher()).toBe(first);
  });

  test("the callbacks of a future land in the dispatcher that is being polled when it is finished", () => {
    const first = getGlobalDispatcher();
    using second = newDispatcher({ selector });
    const future = newFuture();
    let called = 0;
    future.addCallback(() => called++);
    second.callSoon(() => future.complete());
    second.poll();
    expect(called).toBe(1);
    expect(first.hasPendingOperations()).toBe(false);
  });

  test("two dispatchers serve their own descriptors, one inside the other's callback", () => {
    const first = getGlobalDispatcher();
    using second = newDispatcher({ selector });
    const log: string[] = [];
    const outerFd = readableFifo();
    addRead(outerFd, () => {
      log.push("first");
      second.poll();
      return true;
    });
    setGlobalDispatcher(second);
    addRead(readableFifo(), () => {
      log.push("second");
      return true;
    });
    setGlobalDispatcher(first);
    poll();
    expect(log).toEqual(["first", "second"]);
  });

  test("Q26: without a dispatcher, a finished future's callback is queued, not called", () => {
    setGlobalDispatcher(null);
    const future = newFuture();
    let called = false;
    future.addCallback(() => {
      called = true;
    });
    future.complete();
    using made = getGlobalDispatcher();
    expect(called).toBe(false);
    made.poll();
    expect(called).toBe(true);
  });

  test("newDispatcher has the selector that it is asked for", () => {
    expect(getIoHandler(getGlobalDispatcher()).kind).toBe(selector);
  });
});

test.each(["kqueue", "toString", "", null])("newDispatcher with the selector %p raises a ValueError", (selector) => {
  const message = `No selector ${JSON.stringify(selector)} here; there are ${KINDS.join(", ")}`;
  expectThrow(() => newDispatcher({ selector: selector as SelectorKind }), ValueError, message);
});

test.each([...KINDS, "kqueue"])("ASYNCDISPATCH_SELECTOR=%s decides the default selector", (selector) => {
  const script = `
    import { getGlobalDispatcher, getIoHandler } from "../src/index.ts";
    try { console.log(getIoHandler(getGlobalDispatcher()).kind); } catch (error) { console.log(error.message); }`;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", script], {
    cwd: import.meta.dir,
    env: { ...process.env, ASYNCDISPATCH_SELECTOR: selector },
    stderr: "inherit",
  });
  const unknown = `No selector "kqueue" here; there are ${KINDS.join(", ")}`;
  expect(stdout.toString().trim()).toBe(selector === "kqueue" ? unknown : selector);
});

test("a dispatcher that nobody refers to is released by the garbage collector", async () => {
  const selectors = (): number =>
    isWindows ? descriptorCount() : openDescriptors().filter((name) => name.endsWith("[eventpoll]")).length;
  const before = selectors();
  const makeAndForget = (): void => {
    const dispatchers = Array.from({ length: 20 }, () => newDispatcher({ selector: KINDS[0] as SelectorKind }));
    expect(selectors()).toBe(before + dispatchers.length);
  };
  makeAndForget();
  for (let i = 0; i < 100 && selectors() > before + 10; i++) {
    Bun.gc(true);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(selectors()).toBeLessThanOrEqual(before + 10);
});
