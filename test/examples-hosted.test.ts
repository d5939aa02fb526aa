import { dlopen } from "bun:ffi";
import { describe, expect, onTestFinished, test } from "bun:test";
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backends, isWindows } from "./backends.ts";
import { runExample, startExample } from "./example-process.ts";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe.each([...backends])("%s", (selector) => {
  const env = { ASYNCDISPATCH_SELECTOR: selector };

  describe.skipIf(isWindows)("inotify.ts (skipped on Windows: it is of Linux)", () => {
    async function startWatching(folder: string) {
      const { child, output } = startExample("inotify.ts", [folder], env);
      await output.until(/watching .*\n/);
      return { child, output };
    }

    test("prints what happens to the files, beside a timer of Bun", async () => {
      const folder = temporaryFolder();
      const { output } = await startWatching(folder);
      writeFileSync(join(folder, "a"), "hello");
      await output.until(/file a was created\nfile a was written\nfile a was closed after writing\n/);
      renameSync(join(folder, "a"), join(folder, "ü"));
      await output.until(/file a was moved away\nfile ü was moved here\n/);
      mkdirSync(join(folder, "d"));
      rmSync(join(folder, "ü"));
      await output.until(/folder d was created\nfile ü was deleted\n/);
      await output.until(/events in the last second: \d\n/);
    });

    test("ends by itself once Ctrl-C has ended the watch and the timer", async () => {
      const { child } = await startWatching(temporaryFolder());
      child.kill("SIGINT");
      expect(await child.exited).toBe(0);
      expect(child.signalCode).toBe(null);
    });

    test("ends with its folder", async () => {
      const folder = temporaryFolder();
      const { child, output } = await startWatching(folder);
      rmSync(folder, { recursive: true });
      expect(await output.all()).toEndWith(`${folder} is gone\n`);
      expect(await child.exited).toBe(0);
    });

    test("says that a file is no folder", async () => {
      const { text, exitCode } = await runExample("inotify.ts", ["package.json"], env);
      expect(text).toStartWith("package.json cannot be watched: it is no folder");
      expect(exitCode).toBe(1);
    });
  });

  describe.skipIf(isWindows)("gpio.ts (skipped on Windows, where only sockets are watched)", () => {
    test("prints the edges of its stand-in", async () => {
      const { output } = startExample("gpio.ts", [], env);
      await output.until(/^watching \/dev\/pts\/\d+\n\d\.\d+ s: line 17 rising\n\d\.\d+ s: line 17 falling\n/);
    });

    test("reads a device line by line, however they come, until its end", async () => {
      const path = join(temporaryFolder(), "fifo");
      Bun.spawnSync(["mkfifo", path]);
      const writer = openSync(path, constants.O_RDWR);
      const { child, output } = startExample("gpio.ts", [path], env);
      await output.until(/watching .*\n/);
      writeSync(writer, "17 rising\n27 fal");
      await output.until(/line 17 rising\n/);
      writeSync(writer, "ling\nnonsense\n");
      await output.until(/line 27 falling\n.*: not an edge: "nonsense"\n/);
      closeSync(writer);
      expect(await output.all()).toEndWith(`${path} has ended\n`);
      expect(await child.exited).toBe(0);
    });

    test("ends when its terminal goes", async () => {
      const { symbols: libc } = dlopen("libc.so.6", {
        posix_openpt: { args: ["i32"], returns: "i32" },
        unlockpt: { args: ["i32"], returns: "i32" },
        ptsname: { args: ["i32"], returns: "cstring" },
      });
      const terminal = libc.posix_openpt(constants.O_RDWR | constants.O_NOCTTY);
      libc.unlockpt(terminal);
      const path = libc.ptsname(terminal) as string;
      const { child, output } = startExample("gpio.ts", [path], env);
      await output.until(/watching .*\n/);
      writeSync(terminal, "17 rising\n");
      await output.until(/line 17 rising\n/);
      closeSync(terminal);
      expect(await output.all()).toEndWith(`${path} has ended\n`);
      expect(await child.exited).toBe(0);
    });
  });

  test("deasync.ts waits in place for what is the library's, and says what it cannot wait for", async () => {
    const { text, exitCode } = await runExample("deasync.ts", [], env);
    expect(text.split("\n")).toEqual([
      "asked in place: HELLO",
      "through a callback: BYE",
      "an error is thrown in place: connect ECONNREFUSED 127.0.0.1",
      "a child's exit code: 3",
      "a timer of Bun, due after 1 ms, has fired after 50 ms: false",
      "waiting for it has helped: false",
      "waitFor: No handles or timers registered in dispatcher.",
      "once Bun's loop runs again, it fires: true",
      "",
    ]);
    expect(exitCode).toBe(0);
  });
});
