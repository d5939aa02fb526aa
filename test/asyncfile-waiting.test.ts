import { describe, expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type AsyncFile, FileMode, newAsyncFile, openAsync } from "../src/asyncfile.ts";
import {
  type AsyncFD,
  addTimer,
  async,
  CancelledError,
  getGlobalDispatcher,
  newDispatcher,
  poll,
  setGlobalDispatcher,
  unregister,
} from "../src/index.ts";
import { closeAfterTest, isWindows, onEachBackend, openFifoEnds, thrownBy } from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";
import { runScript } from "./children.ts";
import { cuts, linesOf, split, texts } from "./lines-helper.ts";

const allLines = async(function* (file: AsyncFile) {
  const lines: string[] = [];
  for (;;) {
    const line = yield* file.readLine();
    if (line === null) return lines;
    lines.push(line);
  }
});

/** A FIFO's ends as files. */
function fifo(): { reader: AsyncFile; writer: AsyncFile } {
  const { reader, writer } = openFifoEnds();
  return { reader: newAsyncFile(reader), writer: newAsyncFile(writer) };
}

/** Gives the path of a new FIFO and removes it afterwards. */
function withFifo<T>(body: (path: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
  try {
    const path = join(directory, "fifo");
    Bun.spawnSync(["mkfifo", path], { stdio: ["ignore", "ignore", "inherit"] });
    return body(path);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Both ends of a FIFO whose calls block. */
function blockingEnds(): { reader: AsyncFD; writer: AsyncFD } {
  return withFifo((path) => {
    // Open for both, so that opening does not wait for the other end.
    const both = openSync(path, constants.O_RDWR);
    const reader = closeAfterTest(openSync(path, constants.O_RDONLY)) as AsyncFD;
    const writer = closeAfterTest(openSync(path, constants.O_WRONLY)) as AsyncFD;
    closeSync(both);
    return { reader, writer };
  });
}

/** Reads what there is, without a file of ours. */
function drainInto(fd: AsyncFD, parts: Buffer[]): void {
  const part = Buffer.alloc(100_000);
  try {
    const size = readSync(fd, part, 0, part.length, null);
    parts.push(part.subarray(0, size));
  } catch {
    // Nothing there.
  }
}

onEachBackend(() => {
  describe("a FIFO", () => {
    test("read waits until something comes, and gives that", () => {
      const { reader, writer } = fifo();
      const read = reader.read(100);
      poll(20);
      expect(read.finished).toBe(false);
      waitFor(writer.write("hello"));
      expect(waitFor(read).toString()).toBe("hello");
    });

    test("read gives at once what is there", () => {
      const { reader, writer } = fifo();
      waitFor(writer.write("hello"));
      expect(reader.read(3).read().toString()).toBe("hel");
      expect(reader.read(100).read().toString()).toBe("lo");
    });

    test("is at its end when nobody writes any more", () => {
      const { reader, writer } = fifo();
      const read = reader.readAll();
      waitFor(writer.write("last"));
      writer.close();
      expect(waitFor(read).toString()).toBe("last");
      expect(waitFor(reader.read(10)).length).toBe(0);
    });

    test("write waits for room, and the loop goes on", () => {
      const { reader, writer } = openFifoEnds();
      const file = newAsyncFile(writer);
      const data = Buffer.alloc(300_000, "0123456789abcdefg");
      const written = file.write(data);
      expect(written.finished).toBe(false);
      const parts: Buffer[] = [];
      while (!written.finished) {
        drainInto(reader, parts);
        poll(10);
      }
      drainInto(reader, parts);
      expect(Buffer.concat(parts).equals(data)).toBe(true);
    });

    test("write without a reader fails with EPIPE", () => {
      const { reader, writer } = fifo();
      reader.close();
      expect(failureOf(writer.write("x"))).toMatchObject({ code: "EPIPE", syscall: "write" });
    });

    test("reading and writing of one descriptor do not wait for each other", () => {
      withFifo((path) => {
        const file = newAsyncFile(closeAfterTest(openSync(path, constants.O_RDWR | constants.O_NONBLOCK)) as AsyncFD);
        const line = file.readLine();
        waitFor(file.write("to itself\n"));
        expect(waitFor(line)).toBe("to itself");
      });
    });

    test("several reads get their parts in their order", () => {
      const { reader, writer } = fifo();
      const lines = [reader.readLine(), reader.readLine(), reader.readLine()];
      waitFor(writer.write("1\n2\n"));
      writer.close();
      expect(lines.map((line) => waitFor(line))).toEqual(["1", "2", null]);
    });

    test("readLine over any split into packets gives the lines of the whole text (Q18)", () => {
      fc.assert(
        fc.property(texts, cuts, (text, places) => {
          const { reader, writer } = fifo();
          const lines = allLines(reader);
          for (const part of split(text, places)) {
            waitFor(writer.write(part));
            poll(0);
          }
          writer.close();
          expect(waitFor(lines)).toEqual(linesOf(text));
          reader.close();
        }),
        { numRuns: 30 },
      );
    });

    test("readLine that is cancelled leaves the half of a line that has come", () => {
      const { reader, writer } = fifo();
      const line = reader.readLine();
      waitFor(writer.write("half"));
      poll();
      line.cancel();
      expect(failureOf(line)).toBeInstanceOf(CancelledError);
      waitFor(writer.write(" and half\n"));
      expect(waitFor(reader.readLine())).toBe("half and half");
    });

    test("a read is cancelled by its signal, and leaves nothing waiting", () => {
      const { reader } = fifo();
      const read = reader.read(1, { signal: AbortSignal.abort("enough") });
      expect((failureOf(read) as Error).cause).toBe("enough");
      expect(getGlobalDispatcher().statistics().waiters).toBe(0);
    });

    test("close fails what waits with EBADF", () => {
      const { reader } = fifo();
      const read = reader.read(1);
      reader.close();
      expect(failureOf(read)).toMatchObject({ code: "EBADF", syscall: "close" });
    });

    test("close leaves an operation alone that its caller finished, and fails the next one", () => {
      const { reader } = fifo();
      const [finished, waiting] = [reader.read(1), reader.read(1)];
      finished.complete(Buffer.from("x"));
      reader.close();
      expect(failureOf(waiting)).toMatchObject({ code: "EBADF" });
    });

    test("unregister fails what waits with ECANCELED", () => {
      const { reader } = fifo();
      const read = reader.read(1);
      unregister(reader.getFd());
      expect(failureOf(read)).toMatchObject({ code: "ECANCELED" });
    });

    test("has no position and no size", () => {
      const { reader } = fifo();
      for (const call of [() => reader.getFilePos(), () => reader.setFilePos(0), () => reader.getFileSize()]) {
        expect(thrownBy(call)).toMatchObject({ code: "ESPIPE", syscall: "lseek" });
      }
      expect(thrownBy(() => reader.setFileSize(0))).toMatchObject({ code: "EINVAL", syscall: "ftruncate" });
    });

    test("openAsync does not wait for the other end", () => {
      withFifo((path) => {
        expect(thrownBy(() => openAsync(path, FileMode.fmWrite))).toMatchObject({ code: "ENXIO", path });
        const reader = openAsync(path);
        const writer = openAsync(path, FileMode.fmWrite);
        waitFor(writer.write("through\n"));
        expect(waitFor(reader.readLine())).toBe("through");
        reader.close();
        writer.close();
      });
    });

    test("one that is always ready does not keep a timer waiting", () => {
      const { reader, writer } = fifo();
      let fired = false;
      addTimer(1, true, () => {
        fired = true;
        return true;
      });
      const echo = async(function* () {
        while (!fired) {
          yield* writer.write("x");
          yield* reader.read(1);
        }
      });
      waitFor(echo());
      expect(fired).toBe(true);
    });
  });

  describe("a descriptor that blocks", () => {
    test("is read only when something is there", () => {
      const { reader, writer } = blockingEnds();
      const file = newAsyncFile(reader);
      const line = file.readLine();
      poll(20);
      expect(line.finished).toBe(false);
      writeSync(writer, "late\n");
      expect(waitFor(line)).toBe("late");
    });

    test("is written only as far as there is room", () => {
      const { reader, writer } = blockingEnds();
      const file = newAsyncFile(writer);
      const data = Buffer.alloc(300_000, "0123456789abcdefg");
      const written = file.write(data);
      const parts: Buffer[] = [];
      while (!written.finished) {
        poll(0);
        drainInto(reader, parts);
      }
      waitFor(written);
      file.close();
      while (parts.reduce((sum, part) => sum + part.length, 0) < data.length) drainInto(reader, parts);
      expect(Buffer.concat(parts).equals(data)).toBe(true);
    });
  });

  test("a file outlives its dispatcher, and is closed without it", () => {
    const own = getGlobalDispatcher();
    const { reader, writer } = openFifoEnds();
    const other = newDispatcher();
    setGlobalDispatcher(other);
    const file = newAsyncFile(reader);
    const read = file.read(1);
    other.close();
    setGlobalDispatcher(own);
    expect(failureOf(read)).toMatchObject({ code: "ECANCELED" });
    file.close();
    closeSync(writer);
  });
}, "FIFOs: skipped on Windows");

test.skipIf(isWindows)(
  "the standard input of a terminal is read by lines (skipped on Windows, where it cannot be waited for)",
  () => {
    const script = `
    import { waitFor } from "./src/index.ts";
    import { newAsyncFile } from "./src/asyncfile.ts";
    const input = newAsyncFile(0);
    const line = input.readLine();
    console.log("pending: " + !line.finished);
    console.log("line: " + waitFor(line));
  `;
    const command = ["script", "-qec", `${process.execPath} -e '${script}'`, "/dev/null"];
    const outcome = Bun.spawnSync(["sh", "-c", 'echo typed | "$@"', "sh", ...command], {
      cwd: join(import.meta.dir, ".."),
      timeout: 15_000,
    });
    expect(outcome.stdout.toString()).toContain("pending: true");
    expect(outcome.stdout.toString()).toContain("line: typed");
  },
);

test.skipIf(isWindows)(
  "a pipe at the standard input is read to its end (skipped on Windows, where it cannot be waited for)",
  () => {
    const script = `
    import { waitFor } from "./src/index.ts";
    import { newAsyncFile } from "./src/asyncfile.ts";
    const input = newAsyncFile(0);
    console.log(waitFor(input.readLine()), waitFor(input.readLine()), waitFor(input.readLine()));
  `;
    const outcome = Bun.spawnSync(["sh", "-c", 'printf "one\\ntwo" | "$@"', "sh", process.execPath, "-e", script], {
      cwd: join(import.meta.dir, ".."),
      timeout: 15_000,
    });
    expect(outcome.stdout.toString()).toBe("one two null\n");
  },
);

test("both modules are there under the package's name", () => {
  const script = `
    const net = await import("asyncdispatch/asyncnet");
    const file = await import("asyncdispatch/asyncfile");
    console.log(typeof net.newAsyncSocket, typeof net.dial, typeof file.openAsync, typeof file.newAsyncFile);
  `;
  expect(runScript(script).stdout).toBe("function function function function");
});
