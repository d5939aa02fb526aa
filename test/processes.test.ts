import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import {
  AssertionDefect,
  type AsyncFD,
  activeDescriptors,
  addProcess,
  all,
  CancelledError,
  contains,
  getGlobalDispatcher,
  hasPendingOperations,
  newDispatcher,
  OSError,
  poll,
  setGlobalDispatcher,
  unregister,
  ValueError,
  waitProcess,
} from "../src/index.ts";
import { expectThrow, isWindows, isWine, onEachBackend, thrownBy } from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";
import { exiting, sleeping } from "./children.ts";

const NO_PIPES: { stdio: ["ignore", "ignore", "ignore"] } = { stdio: ["ignore", "ignore", "ignore"] };

const ENDLESS = sleeping(1_000_000);

/** At once. Wine takes 50 ms and more to start one. */
const CHILDREN = isWine ? 15 : 50;

/** A child that ends with an exit code, and one that runs until it is killed. */
const start = (exitCode: number) => Bun.spawn(exiting(exitCode), NO_PIPES);
const startEndless = () => Bun.spawn(ENDLESS, NO_PIPES);

/** Blocks until a process has ended, without taking its status or letting Bun take it. */
function waitForEnd(pid: number): void {
  if (isWindows) {
    waitFor(waitProcess(pid));
    return;
  }
  const giveUp = performance.now() + 5000;
  const state = () => readFileSync(`/proc/${pid}/stat`, "latin1").match(/\) (\w)/)?.[1];
  while (state() !== "Z") {
    if (performance.now() > giveUp) throw new Error(`${pid} has not ended`);
  }
}

/** A process that is not our child: its parent prints its number and waits for it. */
async function startGrandchild(): Promise<{ pid: number; parent: Bun.Subprocess }> {
  const script = `const child = Bun.spawn(${JSON.stringify(ENDLESS)}); console.log(child.pid); await child.exited;`;
  const parent = Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "pipe", "ignore"] });
  for await (const part of parent.stdout) {
    const pid = Number(Buffer.from(part).toString());
    return { pid, parent };
  }
  throw new Error("no grandchild");
}

/** What ends when a number of calls were noted. */
function pollUntil(done: () => boolean): void {
  for (const giveUp = performance.now() + 5000; !done(); ) {
    if (performance.now() > giveUp) throw new Error("nothing after 5 s");
    poll(1000);
  }
}

onEachBackend((selector) => {
  test("the callback is called once when a child ends, with the descriptor that addProcess gave", async () => {
    const child = start(0);
    const calls: AsyncFD[] = [];
    const fd = addProcess(child.pid, (descriptor) => {
      calls.push(descriptor);
      return false;
    });
    expect(fd).toBeLessThan(0);
    expect(contains(fd)).toBe(true);
    pollUntil(() => calls.length > 0);
    expect(calls).toEqual([fd]);
    await child.exited;
  });

  for (const answer of [true, false]) {
    test(`Q12: the watch is gone after the exit, although the callback returns ${answer}`, async () => {
      const child = start(0);
      let calls = 0;
      const fd = addProcess(child.pid, () => {
        calls += 1;
        // Already before the callback.
        expect(contains(fd)).toBe(false);
        return answer;
      });
      pollUntil(() => calls > 0);
      expect(hasPendingOperations()).toBe(false);
      expect(getGlobalDispatcher().handles.size).toBe(0);
      expectThrow(() => unregister(fd), AssertionDefect, `Descriptor ${fd} is not registered in the selector!`);
      await child.exited;
    });
  }

  test("R8: of two watched children, the end of one calls its callback and leaves the other's alone", async () => {
    const first = start(0);
    const second = startEndless();
    const log: string[] = [];
    const note = (name: string) => () => {
      log.push(name);
      return true;
    };
    addProcess(second.pid, note("second"));
    addProcess(first.pid, note("first"));
    pollUntil(() => log.length > 0);
    expect(log).toEqual(["first"]);
    expect(activeDescriptors()).toBe(1);
    second.kill();
    pollUntil(() => log.length > 1);
    expect(log).toEqual(["first", "second"]);
    await Promise.all([first.exited, second.exited]);
  });

  test("R9: of a child that has ended already the callback is called", async () => {
    const child = start(0);
    waitForEnd(child.pid);
    let calls = 0;
    addProcess(child.pid, () => {
      calls += 1;
      return true;
    });
    poll(1000);
    expect(calls).toBe(1);
    await child.exited;
  });

  test("Q12: a process that does not exist is ESRCH at the call", async () => {
    const child = start(0);
    await child.exited;
    // On Windows, a process is there as long as somebody holds it, as Bun does.
    const pid = isWindows ? 0x7fff_fffc : child.pid;
    for (const call of [() => addProcess(pid, () => true), () => waitProcess(pid)]) {
      const error = thrownBy(call) as OSError;
      expect(error).toBeInstanceOf(OSError);
      expect(error).toMatchObject({ code: "ESRCH", syscall: "pidfd_open", message: "pidfd_open ESRCH" });
    }
    expect(hasPendingOperations()).toBe(false);
  });

  test("Q12: a process that is no child of ours can be watched", async () => {
    const { pid, parent } = await startGrandchild();
    let calls = 0;
    addProcess(pid, () => {
      calls += 1;
      return true;
    });
    const exit = waitProcess(pid);
    poll(0);
    expect(calls).toBe(0);
    process.kill(pid, "SIGKILL");
    const { exitCode, signal } = waitFor(exit);
    pollUntil(() => calls > 0);
    expect(calls).toBe(1);
    // Not ours: the system may tell or not, but nothing wrong.
    expect(exitCode).toBe(isWindows ? 1 : null);
    expect(isWindows ? [null] : [null, "SIGKILL"]).toContain(signal);
    await parent.exited;
  });

  test("two watches of one process are both told", async () => {
    const child = start(0);
    let calls = 0;
    for (let i = 0; i < 2; i++) {
      addProcess(child.pid, () => {
        calls += 1;
        return true;
      });
    }
    pollUntil(() => calls > 1);
    expect(hasPendingOperations()).toBe(false);
    await child.exited;
  });

  test("unregister stops the watch", async () => {
    const child = start(0);
    const fd = addProcess(child.pid, () => expect.unreachable());
    unregister(fd);
    expect(hasPendingOperations()).toBe(false);
    await child.exited;
    getGlobalDispatcher().callSoon(() => {});
    poll(0);
  });

  test("the error of a callback leaves the poll, and the watch is gone", async () => {
    const child = start(0);
    addProcess(child.pid, () => {
      throw new Error("thrown inside");
    });
    expect(() => poll(5000)).toThrow("thrown inside");
    expect(hasPendingOperations()).toBe(false);
    await child.exited;
  });

  test("closing the dispatcher stops the watches and fails waitProcess with ECANCELED", async () => {
    const child = startEndless();
    const dispatcher = newDispatcher({ selector });
    const outer = getGlobalDispatcher();
    setGlobalDispatcher(dispatcher);
    addProcess(child.pid, () => expect.unreachable());
    const exit = waitProcess(child.pid);
    dispatcher.close();
    setGlobalDispatcher(outer);
    expect(exit.error).toMatchObject({ code: "ECANCELED" });
    child.kill();
    await child.exited;
  });

  test("waitProcess gives the exit code", async () => {
    const child = start(37);
    expect(waitFor(waitProcess(child.pid))).toEqual({ pid: child.pid, exitCode: 37, signal: null });
    await child.exited;
  });

  test.skipIf(isWindows)("waitProcess gives the signal (skipped on Windows, which has none)", async () => {
    const child = startEndless();
    const exit = waitProcess(child.pid);
    child.kill("SIGTERM");
    expect(waitFor(exit)).toEqual({ pid: child.pid, exitCode: null, signal: "SIGTERM" });
    await child.exited;
  });

  test("the status stays Bun's: exited resolves with it after waitProcess has told it", async () => {
    const child = start(5);
    expect(waitFor(waitProcess(child.pid)).exitCode).toBe(5);
    expect(await child.exited).toBe(5);
    expect(child.exitCode).toBe(5);
    const killed = startEndless();
    const exit = waitProcess(killed.pid);
    killed.kill("SIGKILL");
    expect(waitFor(exit).signal).toBe(isWindows ? null : "SIGKILL");
    await killed.exited;
    expect(killed.signalCode).toBe("SIGKILL");
  });

  test("waitProcess of a child that Bun has waited for meanwhile gives the exit code where the kernel keeps it", async () => {
    const child = start(6);
    const exit = waitProcess(child.pid);
    await child.exited;
    const { exitCode, signal } = waitFor(exit);
    expect([6, null]).toContain(exitCode);
    expect(signal).toBeNull();
  });

  test("a cancelled waitProcess holds nothing, and the process goes on", async () => {
    const child = startEndless();
    const exit = waitProcess(child.pid);
    expect(exit.cancel("enough")).toBe(true);
    expect(failureOf(exit)).toBeInstanceOf(CancelledError);
    expect(getGlobalDispatcher().handles.size).toBe(0);
    expect(child.killed).toBe(false);
    const controller = new AbortController();
    const aborted = waitProcess(child.pid, { signal: controller.signal });
    controller.abort();
    expect(failureOf(aborted)).toBeInstanceOf(CancelledError);
    expect(getGlobalDispatcher().handles.size).toBe(0);
    child.kill();
    await child.exited;
  });

  test(`${CHILDREN} children at once: each one's own exit code`, async () => {
    const children = Array.from({ length: CHILDREN }, (_, code) => start(code));
    const exits = waitFor(all(children.map(({ pid }) => waitProcess(pid))), 15_000);
    expect(exits.map(({ exitCode }) => exitCode)).toEqual(children.map((_, code) => code));
    expect(await Promise.all(children.map(({ exited }) => exited))).toEqual(children.map((_, code) => code));
    expect(ownChildren()).toEqual([]);
  });

  test("what cannot be a process is refused", () => {
    for (const call of [(pid: never) => addProcess(pid, () => true), (pid: never) => waitProcess(pid)]) {
      for (const wrong of ["1", null, undefined, {}, 1n]) {
        expect(thrownBy(() => call(wrong as never))).toBeInstanceOf(TypeError);
      }
      for (const wrong of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
        expectThrow(() => call(wrong as never), ValueError, `${wrong} is not a process`);
      }
    }
    expect(thrownBy(() => addProcess(process.pid, 7 as never))).toBeInstanceOf(TypeError);
    expect(thrownBy(() => waitProcess(process.pid, { signal: 7 as never }))).toBeInstanceOf(TypeError);
  });
});

/** The children of this process, ended ones that nobody has waited for included. */
function ownChildren(): string[] {
  if (isWindows) return []; // leaves nothing to wait for
  return readdirSync("/proc/self/task").flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, "latin1").split(" ").filter(Boolean),
  );
}
