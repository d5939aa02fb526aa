import { expect, test } from "bun:test";
import {
  type AsyncFD,
  addRead,
  addWrite,
  contains,
  getGlobalDispatcher,
  getIoHandler,
  newDispatcher,
  poll,
  recv,
  register,
  setGlobalDispatcher,
  sleepAsync,
  unregister,
  waitFor,
} from "../src/index.ts";
import {
  closeDescriptor,
  connectedPair,
  emptyFifo,
  isWindows,
  listener,
  millisecondsOf,
  onEachBackend,
  openFifoEnds,
  readableFifo,
  readableFifos,
  readFrom,
  thrownBy,
  writeTo,
} from "./backends.ts";

/** A callback that notes its name and answers `done`. */
function noting(log: string[], name: string, done: boolean): () => boolean {
  return () => {
    log.push(name);
    return done;
  };
}

/** A registered descriptor that is hung up when the other one is closed. */
function registeredEnds(): { reader: AsyncFD; writer: AsyncFD } {
  if (isWindows) {
    const [reader, writer] = connectedPair();
    unregister(writer);
    return { reader, writer };
  }
  const ends = openFifoEnds();
  register(ends.reader);
  return ends;
}

onEachBackend((selector) => {
  test("R2: a callback that returns false keeps its place, and those behind it are not called", () => {
    const fd = readableFifo();
    const log: string[] = [];
    addRead(fd, noting(log, "a", true));
    addRead(fd, noting(log, "b", false));
    addRead(fd, noting(log, "c", true));
    poll();
    expect(log).toEqual(["a", "b"]);
    poll();
    expect(log).toEqual(["a", "b", "b"]);
  });

  test("a callback that polls inside itself and returns false is called again", () => {
    const fd = readableFifo();
    let calls = 0;
    addRead(fd, () => {
      // The inner poll finds the descriptor ready and nobody who waits for it.
      if (++calls === 1) waitFor(sleepAsync(1));
      return calls === 3;
    });
    for (let i = 1; i <= 3; i++) {
      poll(1000);
      expect(calls).toBe(i);
    }
  });

  test("R3: a callback that is added during a round is called in the next one, behind those that are kept", () => {
    const fd = readableFifo();
    const log: string[] = [];
    addRead(fd, () => {
      log.push("a");
      addRead(fd, noting(log, "added", true));
      return true;
    });
    addRead(fd, noting(log, "b", true));
    poll();
    expect(log).toEqual(["a", "b"]);
    poll();
    expect(log).toEqual(["a", "b", "added"]);
  });

  test("R3: a callback that adds another and is kept stays in front of it", () => {
    const fd = readableFifo();
    const log: string[] = [];
    let rounds = 0;
    addRead(fd, () => {
      log.push("a");
      if (++rounds === 1) addRead(fd, noting(log, "added", true));
      return rounds === 2;
    });
    poll();
    poll();
    expect(log).toEqual(["a", "a", "added"]);
  });

  test.each([true, false])(
    "R4: after a callback unregisters and returns %p, the one behind it is still called",
    (done) => {
      const fd = readableFifo();
      const log: string[] = [];
      addRead(fd, () => {
        log.push("a");
        unregister(fd);
        return done;
      });
      addRead(fd, noting(log, "b", true));
      poll();
      expect(log).toEqual(["a", "b"]);
      expect(contains(fd)).toBe(false);
    },
  );

  test.each([true, false])(
    "R4: after a callback unregisters and returns %p, an operation fails with ECANCELED",
    (done) => {
      const [a, b] = connectedPair();
      addRead(a, () => {
        unregister(a);
        return done;
      });
      const received = recv(a, 10);
      writeTo(b, "x");
      poll();
      expect(received.error).toMatchObject({ name: "OSError", code: "ECANCELED" });
    },
  );

  test("R4, Q7: after a callback unregisters and throws, the one behind it is still called", () => {
    const fd = readableFifo();
    const log: string[] = [];
    addRead(fd, () => {
      unregister(fd);
      throw new Error("thrown after unregister");
    });
    addRead(fd, noting(log, "b", true));
    expect(thrownBy(() => poll())).toMatchObject({ message: "thrown after unregister" });
    expect(log).toEqual(["b"]);
  });

  test("R5, Q7: a throwing callback is removed, and those behind it are called in the next poll", () => {
    const fd = readableFifo();
    const log: string[] = [];
    const error = new Error("thrown by a readiness callback");
    addRead(fd, () => {
      log.push("a");
      throw error;
    });
    addRead(fd, noting(log, "b", true));
    expect(thrownBy(() => poll())).toBe(error);
    expect(log).toEqual(["a"]);
    poll();
    expect(log).toEqual(["a", "b"]);
  });

  test("Q7: the other descriptors of the batch are served in the poll in which a callback throws", () => {
    const log: string[] = [];
    for (const fd of readableFifos(3)) {
      addRead(fd, () => {
        log.push("called");
        if (log.length === 1) throw new Error("thrown by the first");
        return true;
      });
    }
    expect(thrownBy(() => poll())).toMatchObject({ message: "thrown by the first" });
    expect(log).toEqual(["called", "called", "called"]);
  });

  test("Q7: of two callbacks that throw in one batch, the second one's error leaves the next poll", () => {
    for (const fd of readableFifos(2)) {
      addRead(fd, () => {
        throw new Error("thrown by each");
      });
    }
    expect(thrownBy(() => poll())).toMatchObject({ message: "thrown by each" });
    expect(thrownBy(() => poll())).toMatchObject({ message: "thrown by each" });
    expect(getGlobalDispatcher().hasPendingOperations()).toBe(false);
  });

  test("R11, Q9: a registration that gets the number of a descriptor of the same batch gets no stale event", () => {
    const fds = [readableFifo(), readableFifo()];
    let replaced: AsyncFD | undefined;
    let replacement: AsyncFD | undefined;
    let staleCalls = 0;
    for (const fd of fds) {
      addRead(fd, () => {
        replaced = fds.find((other) => other !== fd) as AsyncFD;
        unregister(replaced);
        closeDescriptor(replaced);
        replacement = listener().socket;
        addRead(replacement, () => {
          staleCalls += 1;
          return true;
        });
        return true;
      });
    }
    poll(0);
    expect(replacement).toBe(replaced as AsyncFD);
    expect(staleCalls).toBe(0);
  });

  test("Q9: a descriptor that is unregistered during a batch is not called in it", () => {
    const fds = readableFifos(2);
    let calls = 0;
    for (const fd of fds) {
      addRead(fd, () => {
        calls += 1;
        unregister(fds.find((other) => other !== fd) as AsyncFD);
        return true;
      });
    }
    poll();
    expect(calls).toBe(1);
  });

  test("R13: 100 descriptors that are ready are all served, in at most 2 polls", () => {
    const served = new Set<AsyncFD>();
    let calls = 0;
    for (const fd of readableFifos(100)) {
      addRead(fd, (ready) => {
        served.add(ready);
        calls += 1;
        return true;
      });
    }
    poll();
    if (calls < 100) poll();
    expect({ served: served.size, calls }).toEqual({ served: 100, calls: 100 });
  });

  test("a callback gets its descriptor", () => {
    const fd = readableFifo();
    let given: AsyncFD | undefined;
    addRead(fd, (ready) => {
      given = ready;
      return true;
    });
    poll();
    expect(given).toBe(fd);
  });

  test("what a callback returns removes it only when it is true", () => {
    const fd = readableFifo();
    let calls = 0;
    addRead(fd, () => {
      calls += 1;
      return 1 as never;
    });
    poll();
    poll();
    expect(calls).toBe(2);
  });

  test("a readable and writable descriptor has its read callbacks called first", () => {
    const fd = readableFifo();
    const log: string[] = [];
    addWrite(fd, noting(log, "write", true));
    addRead(fd, noting(log, "read", true));
    poll();
    expect(log).toEqual(["read", "write"]);
  });

  test("a hang-up alone calls the read callbacks", () => {
    const { reader, writer } = registeredEnds();
    const log: string[] = [];
    addRead(reader, noting(log, "hung up", true));
    closeDescriptor(writer);
    poll();
    expect(log).toEqual(["hung up"]);
  });

  test.skipIf(isWindows)("an error alone calls the write callbacks (skipped on Windows: a FIFO)", () => {
    const { reader, writer } = openFifoEnds();
    register(writer);
    const log: string[] = [];
    addWrite(writer, noting(log, "broken pipe", true));
    closeDescriptor(reader);
    poll();
    expect(log).toEqual(["broken pipe"]);
  });

  test("a kept callback is called once per poll as long as its descriptor is ready", () => {
    const fd = readableFifo();
    const byte = new Uint8Array(1);
    let calls = 0;
    addRead(fd, () => {
      if (++calls === 3) readFrom(fd, byte);
      return false;
    });
    for (let i = 0; i < 3; i++) poll();
    poll(5);
    expect(calls).toBe(3);
  });

  test("an event that nobody waits for neither ends poll(60) early nor keeps the thread busy", () => {
    const abandoned = readableFifo();
    addRead(abandoned, () => true);
    poll();
    addRead(emptyFifo(), () => true);
    const before = getGlobalDispatcher().statistics().wakeups;
    const elapsed = millisecondsOf(() => poll(60));
    expect(elapsed).toBeGreaterThanOrEqual(59);
    expect(getGlobalDispatcher().statistics().wakeups - before).toBeLessThanOrEqual(2);
  });

  test("an event that nobody waits for does not keep poll(-1) from ending at a timer", () => {
    addRead(readableFifo(), () => true);
    poll();
    const timer = sleepAsync(20);
    poll(-1);
    expect(timer.finished).toBe(true);
  });

  test("a hang-up that nobody waits for does not keep the thread busy", () => {
    const { reader, writer } = registeredEnds();
    addRead(reader, () => true);
    closeDescriptor(writer);
    poll();
    sleepAsync(40);
    const before = getGlobalDispatcher().statistics().wakeups;
    while (getGlobalDispatcher().hasPendingOperations()) poll();
    expect(getGlobalDispatcher().statistics().wakeups - before).toBeLessThanOrEqual(4);
  });

  test("waiting again after an event was for nobody works", () => {
    const fd = readableFifo();
    const log: string[] = [];
    addRead(fd, noting(log, "first", true));
    poll();
    sleepAsync(5);
    poll(5); // takes the interest back
    addRead(fd, noting(log, "second", true));
    poll();
    expect(log).toEqual(["first", "second"]);
  });

  if (selector === "epoll") {
    test("the descriptor of the selector is readable while an event waits", () => {
      const inner = getGlobalDispatcher();
      const fd = emptyFifo();
      let served = false;
      addRead(fd, () => {
        served = true;
        return true;
      });
      using outer = newDispatcher({ selector });
      setGlobalDispatcher(outer);
      const descriptor = getIoHandler(inner).descriptor as AsyncFD;
      register(descriptor);
      let readable = 0;
      addRead(descriptor, () => {
        readable += 1;
        inner.poll(0);
        return false;
      });
      poll(5);
      expect(readable).toBe(0);
      writeTo(fd, "x");
      poll(1000);
      expect({ readable, served }).toEqual({ readable: 1, served: true });
      setGlobalDispatcher(inner);
    });
  } else {
    test("the selector has no descriptor", () => {
      expect(getIoHandler(getGlobalDispatcher()).descriptor).toBe(-1);
    });
  }
});
