import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type AsyncFile, FileMode, newAsyncFile, openAsync } from "../src/asyncfile.ts";
import {
  AssertionDefect,
  type AsyncFD,
  async,
  CancelledError,
  callSoon,
  newFutureStream,
  readAll,
  ValueError,
} from "../src/index.ts";
import { closeFileAfterTest, expectThrow, isWindows, onEachBackend, thrownBy } from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";
import { removeFolder } from "./folders.ts";
import { linesOf, texts } from "./lines-helper.ts";

const MiB = 1024 * 1024;
const directory = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
const path = join(directory, "file");
afterAll(() => removeFolder(directory));

const allLines = async(function* (file: AsyncFile, maxLength?: number) {
  const lines: string[] = [];
  for (;;) {
    const line = yield* file.readLine(maxLength === undefined ? {} : { maxLength });
    if (line === null) return lines;
    lines.push(line);
  }
});

/** Opens the file of these tests, which has this text, and has it closed after the test. */
function fileWith(text: string | Buffer, mode: FileMode = FileMode.fmReadWriteExisting): AsyncFile {
  writeFileSync(path, text);
  return opened(mode);
}

function opened(mode?: FileMode): AsyncFile {
  const file = openAsync(path, mode);
  closeFileAfterTest(file.getFd());
  return file;
}

onEachBackend(() => {
  beforeEach(() => rmSync(path, { force: true }));

  describe("reading a disk file", () => {
    test("read gives as many bytes as asked for, then what is left, then none", () => {
      const file = fileWith("abcdef");
      const parts = [file.read(4), file.read(4), file.read(4)].map((part) => part.read().toString());
      expect(parts).toEqual(["abcd", "ef", ""]);
    });

    test("read of much data gives it whole, and lets the loop have its turn", () => {
      const data = Buffer.alloc(20 * MiB, "0123456789abcdefg");
      const file = fileWith(data);
      const read = file.read(data.length);
      expect(read.finished).toBe(false);
      let turns = 0;
      callSoon(() => {
        turns += 1;
      });
      expect(waitFor(read).equals(data)).toBe(true);
      expect(turns).toBe(1);
    });

    test("read that is cancelled leaves the position", () => {
      const file = fileWith(Buffer.alloc(20 * MiB, "x"));
      const read = file.read(20 * MiB);
      read.cancel();
      expect(failureOf(read)).toBeInstanceOf(CancelledError);
      expect(file.getFilePos()).toBe(0);
      expect(waitFor(file.read(10)).toString()).toBe("xxxxxxxxxx");
    });

    test("readBuffer stores and gives how many", () => {
      const file = fileWith("abcdef");
      const bytes = Buffer.alloc(8);
      expect(waitFor(file.readBuffer(bytes, 4))).toBe(4);
      expect(waitFor(file.readBuffer(bytes.subarray(4)))).toBe(2);
      expect(bytes.toString()).toBe("abcdef\0\0");
    });

    test("readAll gives the rest", () => {
      const file = fileWith("abcdef");
      waitFor(file.read(2));
      expect(waitFor(file.readAll()).toString()).toBe("cdef");
      expect(waitFor(file.readAll()).length).toBe(0);
    });

    test("what was added after the end is read next", () => {
      const file = fileWith("one\n");
      expect(waitFor(allLines(file))).toEqual(["one"]);
      writeFileSync(path, "two\n", { flag: "a" });
      expect(waitFor(allLines(file))).toEqual(["two"]);
    });

    test("a directory cannot be read", () => {
      const file = openAsync(directory);
      closeFileAfterTest(file.getFd());
      expect(failureOf(file.read(1))).toMatchObject({ code: "EISDIR", syscall: "read", path: directory });
    });

    test.skipIf(isWindows)("a device that no selector takes is read (skipped on Windows, which has none such)", () => {
      const file = openAsync("/dev/zero");
      closeFileAfterTest(file.getFd());
      for (let i = 0; i < 100; i++) expect(waitFor(file.read(1000)).length).toBe(1000);
    });
  });

  describe("readLine", () => {
    test.each<[string, string, string[]]>([
      ["gives an empty string for an empty line, and null at the end (Q18)", "\n\r\na\n", ["", "", "a"]],
      ["takes a lone CR for a part of the line (Q18)", "a\rbc\r\n", ["a\rbc"]],
      ["gives the last line that has no end (Q18)", "one\ntwo", ["one", "two"]],
      ["gives nothing of an empty file", "", []],
    ])("%s", (_what, text, lines) => {
      expect(waitFor(allLines(fileWith(text)))).toEqual(lines);
    });

    test("gives maxLength bytes exactly, and the rest next (Q18)", () => {
      expect(waitFor(allLines(fileWith("abcdefghij\r\nk\n"), 5))).toEqual(["abcde", "fghij", "k"]);
    });

    test("gives the lines of any text", () => {
      fc.assert(
        fc.property(texts, (text) => {
          using file = fileWith(text);
          expect(waitFor(allLines(file))).toEqual(linesOf(text));
        }),
        { numRuns: 100 },
      );
    });

    test("keeps a character that lies across what is read at once", () => {
      const lines = Array.from({ length: 40 }, (_, i) => `${"x".repeat(i)}${"€".repeat(700)}`);
      expect(waitFor(allLines(fileWith(lines.join("\n"))))).toEqual(lines);
    });

    test("moves the position by the line, although it reads ahead", () => {
      const file = fileWith("one\r\ntwo\n");
      waitFor(file.readLine());
      expect(file.getFilePos()).toBe(5);
      expect(waitFor(file.read(3)).toString()).toBe("two");
    });

    test("is followed by a write behind the line", () => {
      const file = fileWith("one\ntwo\nthree\n");
      waitFor(file.readLine());
      waitFor(file.write("TWO"));
      expect(readFileSync(path, "utf8")).toBe("one\nTWO\nthree\n");
      expect(waitFor(allLines(file))).toEqual(["", "three"]);
    });
  });

  describe("writing a disk file", () => {
    test("fmWrite makes or empties it", () => {
      const file = fileWith("what was there", FileMode.fmWrite);
      waitFor(file.write("new"));
      expect(readFileSync(path, "utf8")).toBe("new");
    });

    test("fmAppend writes at its end, and stands there", () => {
      const file = fileWith("one\n", FileMode.fmAppend);
      expect(file.getFilePos()).toBe(4);
      waitFor(file.write("two\n"));
      expect([file.getFilePos(), readFileSync(path, "utf8")]).toEqual([8, "one\ntwo\n"]);
    });

    test("fmReadWrite reads what it wrote", () => {
      const file = fileWith("old", FileMode.fmReadWrite);
      waitFor(file.write("written"));
      file.setFilePos(2);
      expect(waitFor(file.readAll()).toString()).toBe("itten");
    });

    test("writes that were not awaited keep their order, and are done at return", () => {
      const file = fileWith("");
      for (let i = 0; i < 200; i++) file.write(`${i}\n`).read();
      file.close();
      expect(readFileSync(path, "utf8").split("\n").slice(0, -1)).toEqual(
        Array.from({ length: 200 }, (_, i) => `${i}`),
      );
    });

    test("write of much data and what follows it keep their order", () => {
      const file = fileWith("");
      const data = Buffer.alloc(9 * MiB, "0123456789abcdefg");
      const written = [file.write(data), file.write("end")];
      for (const future of written) waitFor(future);
      expect(readFileSync(path).equals(Buffer.concat([data, Buffer.from("end")]))).toBe(true);
    });

    test("write of nothing completes", () => {
      const file = fileWith("");
      waitFor(file.write(""));
      expect(file.getFileSize()).toBe(0);
    });

    test("writeBuffer writes the first bytes", () => {
      const file = fileWith("");
      waitFor(file.writeBuffer(Buffer.from("abcdef"), 3));
      waitFor(file.writeBuffer(new Uint16Array([0x4241])));
      expect(readFileSync(path, "utf8")).toBe("abcAB");
    });

    test("a file that is open for reading only cannot be written", () => {
      const file = fileWith("", FileMode.fmRead);
      expect(failureOf(file.write("x"))).toMatchObject({ code: "EBADF", syscall: "write", path });
    });
  });

  describe("positions and sizes", () => {
    test("setFilePos goes anywhere, also behind the end", () => {
      const file = fileWith("abcdef");
      file.setFilePos(8);
      waitFor(file.write("X"));
      expect(readFileSync(path, "utf8")).toBe("abcdef\0\0X");
      file.setFilePos(1);
      expect(waitFor(file.read(2)).toString()).toBe("bc");
      expect(file.getFilePos()).toBe(3);
    });

    test("getFileSize gives the size and leaves the position", () => {
      const file = fileWith("abcdef");
      waitFor(file.read(2));
      expect([file.getFileSize(), file.getFilePos()]).toEqual([6, 2]);
    });

    test("setFileSize cuts and fills with zeros", () => {
      const file = fileWith("abcdef");
      file.setFileSize(3);
      file.setFileSize(5);
      expect(readFileSync(path, "utf8")).toBe("abc\0\0");
    });

    test.skipIf(isWindows)(
      "newAsyncFile begins where the descriptor stands (skipped on Windows, which does not tell)",
      () => {
        writeFileSync(path, "abcdef");
        const fd = closeFileAfterTest(openSync(path, "r"));
        readSync(fd, Buffer.alloc(2), 0, 2, null);
        expect(waitFor(newAsyncFile(fd as AsyncFD).readAll()).toString()).toBe("cdef");
      },
    );
  });

  describe("streams", () => {
    test("writeFromStream writes strings and bytes until the end", () => {
      const file = fileWith("");
      const stream = newFutureStream<string | Uint8Array>();
      const written = file.writeFromStream(stream);
      stream.write("text ");
      stream.write(Buffer.from("bytes"));
      stream.complete();
      waitFor(written);
      expect(readFileSync(path, "utf8")).toBe("text bytes");
    });

    test("writeFromStream fails as the stream does", () => {
      const file = fileWith("");
      const stream = newFutureStream<string>();
      const written = file.writeFromStream(stream);
      const error = new Error("no more");
      stream.fail(error);
      expect(failureOf(written)).toBe(error);
    });

    test("readToStream reads into a stream that is bounded, and ends it", () => {
      const data = Buffer.alloc(200_000, "0123456789abcdefg");
      const file = fileWith(data);
      const stream = newFutureStream<Uint8Array>("file", { highWaterMark: 1 });
      const read = file.readToStream(stream);
      const all = waitFor(readAll(stream)) as Buffer;
      waitFor(read);
      expect(all.equals(data)).toBe(true);
    });

    test("readToStream ends the stream with the error of the file", () => {
      const file = fileWith("", FileMode.fmAppend);
      const stream = newFutureStream<Uint8Array>();
      expect(failureOf(file.readToStream(stream))).toMatchObject({ code: "EBADF" });
      expect(stream.error).toMatchObject({ code: "EBADF" });
    });
  });

  describe("opening and closing", () => {
    test("openAsync throws the system's error with the path", () => {
      const error = thrownBy(() => openAsync(path));
      expect(error).toMatchObject({
        name: "OSError",
        code: "ENOENT",
        errorCode: isWindows ? 4058 : 2,
        syscall: "open",
        path,
      });
      expect((error as Error).message).toBe(`open ENOENT ${path}`);
    });

    test.each(["missing", "toString"])("openAsync refuses the mode %p", (mode) => {
      expectThrow(() => openAsync(path, mode as FileMode), ValueError, `"${mode}" is not a file mode`);
    });

    test("close is done once, and refuses what comes after it", () => {
      const file = fileWith("abc");
      file.close();
      file.close();
      expect(file.isClosed()).toBe(true);
      expectThrow(() => waitFor(file.read(1)), AssertionDefect, "Cannot `read` on a closed file");
      expectThrow(() => waitFor(file.write("x")), AssertionDefect, "Cannot `write` on a closed file");
      expectThrow(() => file.getFileSize(), AssertionDefect, "Cannot `getFileSize` on a closed file");
    });

    test("close fails what is not finished with EBADF", () => {
      const file = fileWith(Buffer.alloc(20 * MiB));
      const read = file.readAll();
      file.close();
      expect(failureOf(read)).toMatchObject({ code: "EBADF" });
    });

    test.skipIf(isWindows)(
      "newAsyncFile refuses a descriptor that is registered (skipped on Windows, where files are not)",
      () => {
        const file = fileWith("");
        const message = `Descriptor ${file.getFd()} already registered`;
        expectThrow(() => newAsyncFile(file.getFd()), AssertionDefect, message);
      },
    );
  });
});
