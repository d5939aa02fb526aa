import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { backends, isWindows, isWine } from "./backends.ts";
import { EXIT_CODE } from "./bunloop-worker.ts";
import type { Manner, Report } from "./bunloop-worker-driver.ts";
import { importPath, runScript, withoutWine } from "./children.ts";
import { DESCRIPTOR_TOLERANCE } from "./descriptors.ts";
import { isQemu } from "./qemu.ts";

/** How many Workers of each kind. Fewer where each takes half a second or more. */
const [TERMINATED, OPENING, ENDING, EXITING] = isWine || isQemu ? [40, 24, 24, 10] : [500, 400, 250, 50];

/** Many Workers take their time. */
const RUN_MS = isQemu ? 240_000 : 90_000;

/** Messages go each millisecond; a busy machine may stop the whole process for a while. */
const LONGEST_SILENCE_MS = 1000;

/** Threads that Bun starts and ends as it likes, for compiling and collecting. */
const THREAD_TOLERANCE = 3;

/**
 * What Bun itself loses for a Worker that opens a native library of as many functions: 18 KiB, as was measured without
 * this package. The rest is the noise of the collector. What a Worker has in all is more than 10 MiB.
 */
const MEMORY_TOLERANCE_KIB = 128;

/**
 * A thread that is left has a stack of 8 MiB, a selector that is left takes 0.8 MiB; Bun's heaps grow by 64 MiB, of
 * which Windows counts more.
 */
const ADDRESS_SPACE_TOLERANCE_KIB = (isWindows ? 256 : 150) * 1024;

interface Ending {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | null;
  readonly signalCode: NodeJS.Signals | number | null;
}

/** Runs a program of this folder, so that its crash is no crash of the tests. */
async function runProgram(
  selector: string,
  name: string,
  parameters: string[],
  timeoutMs = RUN_MS - 30_000,
): Promise<Ending> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, name), ...parameters], {
    env: { ...process.env, ASYNCDISPATCH_SELECTOR: selector },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: timeoutMs,
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  await child.exited;
  return {
    stdout: stdout.trim(),
    stderr: withoutWine(stderr).trim(),
    exitCode: child.exitCode,
    signalCode: child.signalCode,
  };
}

/** Wine hangs in its own NtTerminateProcess once in some hundred times: there, once more. */
async function runExiting(selector: string, moment: string): Promise<Ending> {
  const run = () => runProgram(selector, "bunloop-worker-exit.ts", [moment], RUN_MS / 4);
  const ending = await run();
  return isWine && ending.signalCode !== null ? run() : ending;
}

const WITHOUT_TROUBLE = { stderr: "", exitCode: 0, signalCode: null };

/** What a run of Workers saw, which several tests look at: it begins with the first of them. */
function reportOf(selector: string, total: number, manners: readonly Manner[]): () => Promise<Report> {
  let running: Promise<Report> | undefined;
  const run = async (): Promise<Report> => {
    const { stdout, ...rest } = await runProgram(selector, "bunloop-worker-driver.ts", [String(total), ...manners]);
    expect(rest).toEqual(WITHOUT_TROUBLE);
    return JSON.parse(stdout);
  };
  return () => (running ??= run());
}

/** The tests that are the same however Workers end. */
function leaveNothing(total: number, report: () => Promise<Report>): void {
  const inTime = (name: string, body: (report: Report) => void, isSkipped = false) => {
    test.skipIf(isSkipped)(name, async () => body(await report()), RUN_MS);
  };
  const posix = (name: string, body: (report: Report) => void) => {
    inTime(isWindows ? `${name} (skipped on Windows, which has none)` : name, body, isWindows);
  };

  inTime("no Worker crashes the process", ({ exits }) => {
    expect(Object.values(exits).reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(total);
  });

  inTime("no descriptor is left", ({ half, end }) => {
    expect(end.descriptors.length).toBeLessThanOrEqual(half.descriptors.length + DESCRIPTOR_TOLERANCE);
  });

  inTime("no thread is left", ({ half, end }) => {
    expect(end.threads - half.threads).toBeLessThanOrEqual(THREAD_TOLERANCE);
  });

  const isTranslated = isQemu ? " (skipped under qemu, which translates code into the same memory)" : "";
  inTime(
    `no memory is left${isTranslated}`,
    ({ half, end }) => {
      // Of few Workers, the noise is as much as of a hundred.
      expect((end.residentKiB - half.residentKiB) / Math.max(total / 2, 100)).toBeLessThan(MEMORY_TOLERANCE_KIB);
      expect(end.virtualKiB - half.virtualKiB).toBeLessThan(ADDRESS_SPACE_TOLERANCE_KIB);
    },
    isQemu,
  );

  posix("no handler of a signal is left", ({ initial, end }) => {
    expect(end.handledSignals).toBe(initial.handledSignals);
  });

  posix("no zombie is left", ({ end }) => {
    expect(end.zombies).toBe(0);
  });

  inTime(
    "meanwhile the main thread loses no message and is never silent for long",
    ({ messages, longestSilenceMs }) => {
      expect(messages.sent).toBeGreaterThan(total);
      expect(messages.received).toBe(messages.sent);
      expect(longestSilenceMs).toBeLessThan(LONGEST_SILENCE_MS);
    },
  );

  inTime("the main thread's event gets the trigger that a Worker gave last", ({ triggers }) => {
    expect(triggers.given).toBeGreaterThan(0);
    expect(triggers.seen).toBe(triggers.given);
  });

  inTime("the peer of each socket that a Worker opened sees it end", ({ connections }) => {
    expect(connections.opened).toBeGreaterThan(0);
    expect(connections.ended).toBe(connections.opened);
  });

  inTime("a descriptor that Workers only registered stays open", ({ sharedDescriptorWorks }) => {
    expect(sharedDescriptorWorks).toBe(true);
  });
}

describe.each([...backends])("%s", (selector) => {
  describe(`${TERMINATED} Workers in a row that are terminated at any moment, with everything in flight`, () => {
    const manners = ["atOnce", "whileLoading", "spins", "blocks", "idles", "echoes", "looksUp"] as const;
    leaveNothing(TERMINATED, reportOf(selector, TERMINATED, manners));
  });

  describe(`${OPENING} Workers in a row that are terminated while they open and close what there is`, () => {
    leaveNothing(OPENING, reportOf(selector, OPENING, ["opens"]));
  });

  describe(`${ENDING} Workers in a row that end by themselves, with everything in flight`, () => {
    const manners = ["exits", "exitsInCallback", "throws", "throwsInCallback", "unreferences", "finishes"] as const;
    const report = reportOf(selector, ENDING, manners);
    leaveNothing(ENDING, report);

    test(
      "their exit codes and errors are those of their ends",
      async () => {
        const { exits, errors } = await report();
        expect(Object.keys(exits).sort()).toEqual([
          `exits ${EXIT_CODE}`,
          `exitsInCallback ${EXIT_CODE}`,
          "finishes 0",
          "throws 1",
          "throwsInCallback 1",
          "unreferences 0",
        ]);
        expect(Object.keys(errors).sort()).toEqual(["thrown at top level", "thrown in a callback"]);
      },
      RUN_MS,
    );
  });

  describe.each(["poll", "waitFor"] as const)("a Worker that is blocked in %s", (call) => {
    const program = (body: string) =>
      runScript(
        `import { once } from "node:events";
        import { Worker } from "node:worker_threads";
        import { newAsyncEvent } from "./src/index.ts";
        const event = newAsyncEvent();
        const workerData = { call: "${call}", token: event.token };
        const start = async () => {
          const worker = new Worker("./test/bunloop-worker-blocked.ts", { workerData });
          await once(worker, "message");
          return worker;
        };
        ${body}`,
        [],
        { ASYNCDISPATCH_SELECTOR: selector },
      );

    test("and is terminated ends when the call comes back once", () => {
      const { stdout, stderr } = program(
        `for (let i = 0; i < 20; i++) {
          const worker = await start();
          await Bun.sleep(i % 5);
          const ended = worker.terminate();
          event.trigger();
          await ended;
        }
        console.log("all have ended");`,
      );
      expect({ stdout, stderr }).toEqual({ stdout: "all have ended", stderr: "" });
    });

    test("does not keep the process from exiting", () => {
      expect(program("await start(); process.exit(3);").exitCode).toBe(3);
      expect(program("void (await start()).terminate(); process.exit(3);").exitCode).toBe(3);
    });
  });

  describe("an event", () => {
    /** A program with `start`, which gives a Worker that runs the code, and what this said first. */
    const program = (body: string) =>
      runScript(
        `import { once } from "node:events";
        import { Worker } from "node:worker_threads";
        import { AsyncEvent, addEvent, newAsyncEvent } from "./src/index.ts";
        const start = async (code, workerData) => {
          const imports = \`
            import { parentPort, workerData } from "node:worker_threads";
            import { AsyncEvent, addEvent, newAsyncEvent } from "${importPath("src/index.ts")}";
            const say = (what) => parentPort.postMessage(what);
          \`;
          const worker = new Worker(imports + code, { eval: true, workerData });
          const [said] = await once(worker, "message");
          return { worker, said };
        };
        ${body}`,
        [],
        { ASYNCDISPATCH_SELECTOR: selector },
      );

    test("that a terminated Worker made lives on in who has opened its token", () => {
      const { stdout, stderr } = program(
        `const { worker, said } = await start("const own = newAsyncEvent(); addEvent(own, () => false); say(own.token);");
        const event = AsyncEvent.from(said);
        await worker.terminate();
        addEvent(event, () => {
          console.log("called");
          return true;
        });
        event.trigger();`,
      );
      expect({ stdout, stderr }).toEqual({ stdout: "called", stderr: "" });
    });

    test("that only a terminated Worker had is closed", () => {
      const { stdout, stderr } = program(
        `const { worker, said } = await start("const own = newAsyncEvent(); addEvent(own, () => false); say(own.token);");
        await worker.terminate();
        try {
          for (;;) {
            AsyncEvent.from(said).close();
            await Bun.sleep(1);
          }
        } catch (error) {
          console.log(error.message);
        }`,
      );
      expect({ stdout, stderr }).toEqual({ stdout: "The event is closed.", stderr: "" });
    });

    test("that Workers had registered as well wakes who is left, once per trigger", () => {
      const { stdout, stderr } = program(
        `const event = newAsyncEvent();
        for (let i = 0; i < 20; i++) {
          const { worker } = await start("addEvent(AsyncEvent.from(workerData), () => false); say(0);", event.token);
          await worker.terminate();
        }
        let calls = 0;
        addEvent(event, () => {
          if (++calls < 100) event.trigger();
          else console.log("called 100 times");
          return calls === 100;
        });
        event.trigger();`,
      );
      expect({ stdout, stderr }).toEqual({ stdout: "called 100 times", stderr: "" });
    });

    test("that the main thread closed is triggered by a Worker until that has ended", () => {
      const { stdout, stderr } = program(
        `const event = newAsyncEvent();
        const code = "const event = AsyncEvent.from(workerData); addEvent(event, () => { say('called'); return true; }); say(0);";
        const { worker } = await start(code, event.token);
        const { token } = event;
        event.close();
        const other = AsyncEvent.from(token);
        other.trigger();
        console.log(String(await once(worker, "message")));
        other.close();`,
      );
      expect({ stdout, stderr }).toEqual({ stdout: "called", stderr: "" });
    });
  });

  test(
    `process.exit of the main thread with everything in flight, ${EXITING} times: no crash, and the exit code is kept`,
    async () => {
      const moments = ["loading", "working", "called"];
      for (let i = 0; i < EXITING; i += 2) {
        const pair = [i, i + 1].map((turn) => runExiting(selector, moments[turn % moments.length] as string));
        for (const { stderr, exitCode, signalCode } of await Promise.all(pair)) {
          expect({ stderr, exitCode, signalCode }).toEqual({ stderr: "", exitCode: EXIT_CODE, signalCode: null });
        }
      }
    },
    RUN_MS,
  );
});
