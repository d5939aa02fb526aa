import { describe, expect, onTestFinished, test } from "bun:test";
import { mkdtempSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backends } from "./backends.ts";
import { privateKiB, waiterThreads } from "./bunloop-helper.ts";
import { importPath } from "./children.ts";
import { DESCRIPTOR_TOLERANCE, descriptorCount, isWindows, isWine } from "./descriptors.ts";
import { type Transcript, transcriptOf } from "./example-process.ts";
import { removeFolder } from "./folders.ts";
import { isQemu } from "./qemu.ts";

/** What the stack seems to point at is not collected. */
const NOT_COLLECTED = 6;

/**
 * Of one generation is left at least its selector and its objects, of which twenty are more. Under qemu, code that it
 * translated is of the same memory.
 */
const MEMORY_TOLERANCE_KIB = 8 * 1024;

/** A folder outside of the package, so that nothing of the package's settings counts for what runs there. */
function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "asyncdispatch-"));
}

/** Imports of what the programs here need. */
const IMPORTS = `
  import {
    accept, addSignal, addTimer, asyncCheck, async, callSoon, dial, getGlobalDispatcher, newFuture, recv, send, sleepAsync,
  } from "${importPath("src/index.ts")}";
  import { hostedPair, waiterThreads } from "${importPath("test/bunloop-helper.ts")}";
  import { descriptorCount, isWindows } from "${importPath("test/descriptors.ts")}";
  import { listener } from "${importPath("test/sockets-helper.ts")}";`;

/** A test file that talks, sleeps and leaves much pending, and prints what is open then. */
const TEST_FILE = `${IMPORTS}
  import { expect, test } from "bun:test";
  test("talks", async () => {
    const [here, there] = await hostedPair();
    await send(here, "hello");
    expect((await recv(there, 100)).toString()).toBe("hello");
  });
  test("sleeps", async () => {
    await sleepAsync(1);
  });
  test.concurrent("sleeps beside another one", async () => {
    await sleepAsync(2);
  });
  test.concurrent("sleeps beside it", async () => {
    await sleepAsync(1);
  });
  test("leaves operations pending", async () => {
    console.log("in", import.meta.file);
    const [, there] = await hostedPair();
    recv(there, 100);
    addTimer(1, false, () => {
      console.log("tick of", import.meta.file);
      return false;
    });
    if (!isWindows) addSignal("SIGUSR2", () => false);
    await sleepAsync(2);
    // What the stack still seems to point at is not collected.
    for (let i = 0; i < 10 && waiterThreads().length > 1; i++) {
      Bun.gc(true);
      await new Promise((resolve) => setImmediate(resolve));
    }
    console.log("open:", descriptorCount(), waiterThreads().length);
  });`;

describe.each([...backends])("%s", (selector) => {
  const env = { ...process.env, ASYNCDISPATCH_SELECTOR: selector };

  /** Runs `bun test` on files of these texts, and gives what it prints. */
  function runTests(files: Record<string, string>, flags: string[] = []): { output: string; exitCode: number } {
    const cwd = temporaryFolder();
    onTestFinished(() => removeFolder(cwd));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
    const command = [process.execPath, "test", ...flags];
    const { stdout, stderr, exitCode } = Bun.spawnSync(command, { cwd, env, timeout: 60_000 });
    return { output: `${stdout}${stderr}`, exitCode };
  }

  const tenFiles = Object.fromEntries([..."abcdefghij"].map((name) => [`${name}.test.ts`, TEST_FILE]));

  describe("bun test", () => {
    test.each([[[]], [["--isolate"]], [["--concurrent"]], [["--randomize"]], [["--rerun-each=2"]], [["--parallel=2"]]])(
      "several files in one process use the library: %p",
      (flags) => {
        const { output, exitCode } = runTests(tenFiles, flags);
        const count = flags[0] === "--rerun-each=2" ? 100 : 50;
        expect(output).toContain(`\n ${count} pass\n 0 fail\n`);
        expect(exitCode).toBe(0);
      },
    );

    test("--isolate: what a file leaves pending is not called any more, and does not add up", () => {
      const { output } = runTests(tenFiles, ["--isolate"]);
      const open = [...output.matchAll(/^open: (\d+) (\d+)$/gm)].map(([, ...counts]) => counts.map(Number));
      expect(open.length).toBe(10);
      // The collector may take its time.
      const [descriptors, threads] = [0, 1].map((which) => Math.max(...open.map((counts) => counts[which] as number)));
      expect(threads).toBeLessThanOrEqual(3);
      expect(descriptors).toBeLessThanOrEqual((open[0]?.[0] as number) + 2 * 15);
      const files = output.split(/^in .*$/m).slice(1);
      expect(files.map((text) => new Set(text.match(/^tick of .*$/gm)).size)).toEqual(files.map(() => 1));
    });

    test("a failure that was passed to asyncCheck fails the test that runs", () => {
      const { output, exitCode } = runTests({
        "a.test.ts": `${IMPORTS}
          import { test } from "bun:test";
          test("good", () => sleepAsync(1));
          test("bad", async () => {
            asyncCheck(async(function* culprit() { yield* sleepAsync(1); throw new Error("boom"); })());
            await sleepAsync(20);
          });
          test("good again", () => sleepAsync(1));`,
      });
      expect(output).toContain("error: boom\n      at culprit (");
      expect(output).toContain("(pass) good [");
      expect(output).toContain("(fail) bad [");
      expect(output).toContain("(pass) good again [");
      expect(exitCode).toBe(1);
    });
  });

  /** A program that is loaded again whenever it is written: each has much pending, and tells its generation. */
  class Reloaded {
    private readonly folder = temporaryFolder();
    private readonly path = join(this.folder, "main.ts");
    readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
    readonly output: Transcript;

    constructor(flag: string) {
      this.write(0);
      const command = [process.execPath, flag, "--no-clear-screen", this.path];
      this.child = Bun.spawn(command, { cwd: this.folder, env, stdio: ["ignore", "pipe", "pipe"] });
      onTestFinished(async () => {
        this.child.kill("SIGKILL");
        await this.child.exited;
        removeFolder(this.folder);
      });
      this.output = transcriptOf(this.child.stdout, this.child.stderr);
    }

    private write(generation: number): void {
      if (isWindows) {
        // A file that is open cannot be replaced there; if half of this one is loaded, the whole one is after that.
        writeFileSync(this.path, this.program(generation));
        return;
      }
      // Renamed into its place, so that no half of it is ever loaded.
      writeFileSync(`${this.path}.new`, this.program(generation));
      renameSync(`${this.path}.new`, this.path);
    }

    private program(generation: number): string {
      return `${IMPORTS}
        globalThis.generation = ${generation};
        globalThis.dispatchers ??= [];
        dispatchers.push(new WeakRef(getGlobalDispatcher()));
        const { socket, port } = listener();
        accept(socket).then(() => accept(socket));
        await dial("localhost", port);
        const [, there] = await hostedPair();
        recv(there, 100);
        if (!isWindows) addSignal("SIGUSR2", () => { console.log("signal in ${generation}."); return false; });
        addTimer(0.5, false, () => {
          if (generation !== ${generation}) console.log("an old timer fires");
          return false;
        });
        await sleepAsync(2);
        Bun.gc(true);
        const alive = dispatchers.filter((each) => each.deref()).length;
        console.log("generation ${generation} runs in", process.pid, "with", alive, "alive");`;
    }

    /** Has it loaded again, and gives its process and how many dispatchers of all generations are not collected. */
    async reload(generation: number): Promise<{ pid: number; alive: number }> {
      if (generation > 0) this.write(generation);
      // On Windows, Bun misses what is written before it watches.
      const writeAgain = isWindows ? setInterval(() => this.write(generation), 1000) : undefined;
      const pattern = new RegExp(`generation ${generation} runs in (\\d+) with (\\d+) alive\\n`);
      try {
        const [, pid, alive] = await this.output.until(pattern);
        return { pid: Number(pid), alive: Number(alive) };
      } finally {
        clearInterval(writeAgain);
      }
    }
  }

  /** Bun opens the files that it watches in threads, on a busy machine also when the program runs already. */
  async function settledOpenCount(pid: number): Promise<number> {
    let count = descriptorCount(pid);
    for (let unchanged = 0; unchanged < 5; unchanged += 1) {
      await Bun.sleep(100);
      const before = count;
      count = descriptorCount(pid);
      if (count !== before) unchanged = 0;
    }
    return count;
  }

  /** How many waiter threads there are, once there is any: on a busy machine it may be about to start. */
  async function waiterCount(pid: number): Promise<number> {
    for (const giveUp = performance.now() + 5000; performance.now() < giveUp; await Bun.sleep(10)) {
      const { length } = waiterThreads(pid);
      if (length > 0) return length;
    }
    return 0;
  }

  test.each([
    // Fewer where Bun takes half a second or more to start.
    ["--hot", isQemu ? 8 : 40],
    ["--watch", isWine || isQemu ? 8 : 20],
  ] as const)(
    "bun %s: %p reloads leave nothing behind",
    async (flag, last) => {
      const program = new Reloaded(flag);
      let before = { open: 0, memory: 0 };
      let pid = 0;
      for (let generation = 0; generation <= last; generation++) {
        const loaded = await program.reload(generation);
        expect(loaded.alive).toBeLessThanOrEqual(NOT_COLLECTED);
        pid = loaded.pid;
        // By then Bun has what it keeps for itself.
        if (generation === last / 2) before = { open: await settledOpenCount(pid), memory: privateKiB(pid) };
      }
      // If one were left of each, it would be half of them; Bun itself has one more or less at times.
      const tolerance = Math.max(DESCRIPTOR_TOLERANCE, last / 4);
      expect(await settledOpenCount(pid)).toBeLessThanOrEqual(before.open + tolerance);
      expect(await waiterCount(pid)).toBe(1);
      if (!isQemu) expect(privateKiB(pid)).toBeLessThan(before.memory + MEMORY_TOLERANCE_KIB);
      expect(program.output.text).not.toContain("an old timer fires");
      if (isWindows) return; // it has no signals
      program.child.kill("SIGUSR2");
      await program.output.until(new RegExp(`signal in ${last}\\.`));
      expect(program.output.text.match(/signal in/g)?.length).toBe(1);
    },
    isQemu ? 120_000 : 20_000,
  );
});
