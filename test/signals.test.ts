import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  activeDescriptors,
  addSignal,
  contains,
  getGlobalDispatcher,
  hasPendingOperations,
  newDispatcher,
  OSError,
  poll,
  setGlobalDispatcher,
  unregister,
  ValueError,
} from "../src/index.ts";
import { expectThrow, onEachBackend, thrownBy } from "./backends.ts";
import { isQemu } from "./qemu.ts";

/** A handled signal reaches this thread or another before `kill` returns or soon after; a poll waits for it. */
const raise = (signal: NodeJS.Signals) => process.kill(process.pid, signal);

/** Whether the process has a handler for a signal. */
function isCaught(number: number): boolean {
  const mask = readFileSync("/proc/self/status", "utf8").match(/SigCgt:\s*(\w+)/)?.[1];
  return ((BigInt(`0x${mask}`) >> BigInt(number - 1)) & 1n) === 1n;
}

const SIGUSR1 = 10;

afterEach(() => {
  process.removeAllListeners("SIGUSR1");
});

onEachBackend((selector) => {
  test("a signal calls the callback, with the descriptor that addSignal gave, until it returns true", () => {
    const calls: number[] = [];
    const fd = addSignal("SIGUSR1", (descriptor) => {
      calls.push(descriptor);
      return calls.length === 2;
    });
    expect(fd).toBeLessThan(0);
    expect(contains(fd)).toBe(true);
    for (let i = 1; i <= 2; i++) {
      raise("SIGUSR1");
      poll(2000);
      expect(calls).toEqual(Array(i).fill(fd));
    }
    expect(contains(fd)).toBe(false);
    expect(hasPendingOperations()).toBe(false);
  });

  test("a signal may be given by its number", () => {
    let calls = 0;
    addSignal(SIGUSR1, () => {
      calls += 1;
      return true;
    });
    raise("SIGUSR1");
    poll(2000);
    expect(calls).toBe(1);
  });

  test("a signal that is raised twice before a poll is one call", () => {
    let calls = 0;
    const fd = addSignal("SIGUSR1", () => {
      calls += 1;
      return false;
    });
    raise("SIGUSR1");
    raise("SIGUSR1");
    poll(2000);
    poll(0);
    expect(calls).toBe(1);
    unregister(fd);
  });

  test("two watches of one signal are both called, and one that goes leaves the other", () => {
    const log: string[] = [];
    const note = (name: string, done: boolean) => () => {
      log.push(name);
      return done;
    };
    addSignal("SIGUSR1", note("first", true));
    const second = addSignal("SIGUSR1", note("second", false));
    raise("SIGUSR1");
    poll(2000);
    expect(log.sort()).toEqual(["first", "second"]);
    raise("SIGUSR1");
    poll(2000);
    expect(log).toEqual(["first", "second", "second"]);
    unregister(second);
  });

  test("two signals are told apart", () => {
    const log: string[] = [];
    const fds = (["SIGUSR1", "SIGUSR2"] as const).map((signal) =>
      addSignal(signal, () => {
        log.push(signal);
        return false;
      }),
    );
    raise("SIGUSR2");
    poll(2000);
    expect(log).toEqual(["SIGUSR2"]);
    for (const fd of fds) unregister(fd);
  });

  test.skipIf(isQemu)(
    "unregister stops the watch and brings the former action back (skipped under qemu, which catches all signals)",
    () => {
      expect(isCaught(SIGUSR1)).toBe(false);
      const fds = [addSignal("SIGUSR1", () => true), addSignal("SIGUSR1", () => true)] as const;
      expect(isCaught(SIGUSR1)).toBe(true);
      unregister(fds[0]);
      expect(isCaught(SIGUSR1)).toBe(true);
      unregister(fds[1]);
      expect(isCaught(SIGUSR1)).toBe(false);
      expect(hasPendingOperations()).toBe(false);
    },
  );

  test("a watch may be unregistered inside its callback, with either answer", () => {
    for (const answer of [true, false]) {
      const fd = addSignal("SIGUSR1", () => {
        unregister(fd);
        return answer;
      });
      raise("SIGUSR1");
      poll(2000);
      expect(hasPendingOperations()).toBe(false);
    }
  });

  test("a callback that throws: the error leaves the poll, and the watch stays", () => {
    const fd = addSignal("SIGUSR1", () => {
      throw new Error("thrown inside");
    });
    for (let i = 0; i < 2; i++) {
      raise("SIGUSR1");
      expect(() => poll(2000)).toThrow("thrown inside");
      expect(activeDescriptors()).toBe(1);
    }
    unregister(fd);
  });

  test("listeners of process.on that were there before are called as well, and stay", async () => {
    const listened = new Promise<void>((resolve) => process.on("SIGUSR1", () => resolve()));
    let calls = 0;
    const fd = addSignal("SIGUSR1", () => {
      calls += 1;
      return false;
    });
    raise("SIGUSR1");
    poll(2000);
    expect(calls).toBe(1);
    await listened;
    unregister(fd);
    const again = new Promise<void>((resolve) => process.on("SIGUSR1", () => resolve()));
    raise("SIGUSR1");
    await again;
  });

  test.skipIf(isQemu)("closing the dispatcher stops the watch (skipped under qemu, which catches all signals)", () => {
    const dispatcher = newDispatcher({ selector });
    const outer = getGlobalDispatcher();
    setGlobalDispatcher(dispatcher);
    addSignal("SIGUSR1", () => expect.unreachable());
    dispatcher.close();
    setGlobalDispatcher(outer);
    expect(isCaught(SIGUSR1)).toBe(false);
  });

  test("signals that cannot be watched are EINVAL", () => {
    const numbers = [0, -1, 65, 2 ** 31 - 1];
    const names = ["SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"] as const;
    for (const signal of [...numbers, ...names]) {
      const error = thrownBy(() => addSignal(signal, () => true)) as OSError;
      expect(error).toBeInstanceOf(OSError);
      expect(error).toMatchObject({ code: "EINVAL", syscall: "sigaction" });
    }
    expect(hasPendingOperations()).toBe(false);
  });

  test.skipIf(isQemu)(
    "what is no signal or no callback is refused (skipped under qemu, which catches all signals)",
    () => {
      for (const wrong of ["USR1", "SIGNOTHING", "toString", "", 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
        expect(thrownBy(() => addSignal(wrong as never, () => true))).toBeInstanceOf(ValueError);
      }
      expectThrow(() => addSignal("SIGNOTHING" as never, () => true), ValueError, 'Unknown signal "SIGNOTHING"');
      for (const wrong of [null, undefined, {}, 10n]) {
        expect(thrownBy(() => addSignal(wrong as never, () => true))).toBeInstanceOf(TypeError);
      }
      expect(thrownBy(() => addSignal("SIGUSR1", undefined as never))).toBeInstanceOf(TypeError);
      expect(isCaught(SIGUSR1)).toBe(false);
    },
  );

  test("a signal that reaches one of the engine's own threads is seen too, and does not kill", () => {
    // Every thread that does not block the signal gets it by itself, and one more may not come before it is seen.
    const script = `
      import { readdirSync, readFileSync } from "node:fs";
      import { dlopen } from "bun:ffi";
      import { addSignal, poll } from ${JSON.stringify(join(import.meta.dir, "../src/index.ts"))};
      const { syscall } = dlopen("libc.so.6", { syscall: { args: ["i64", "i64", "i64", "i64"], returns: "i64" } }).symbols;
      const tgkill = process.arch === "x64" ? 234 : 131;
      let calls = 0;
      addSignal("SIGUSR1", () => { calls += 1; return false; });
      const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
      fib(24); // wakes the JIT's threads
      let threads = 0;
      for (const task of readdirSync("/proc/self/task")) {
        const [, mask] = readFileSync("/proc/self/task/" + task + "/status", "latin1").match(/SigBlk:\\s*(\\w+)/);
        if ((BigInt("0x" + mask) >> 9n) & 1n) continue;
        threads += 1;
        syscall(tgkill, process.pid, Number(task), 10);
        poll(2000);
      }
      console.log(threads > 1 && calls === threads);
      process.exit(0);`;
    const env = { ...process.env, ASYNCDISPATCH_SELECTOR: selector };
    const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", script], { env, timeout: 15_000 });
    expect(`${stdout}${stderr}`).toBe("true\n");
  });

  test("without a watch the signal does what it did before: a child that stops watching is killed by it", () => {
    const script = `
      import { addSignal, poll } from ${JSON.stringify(join(import.meta.dir, "../src/index.ts"))};
      addSignal("SIGTERM", () => { console.log("seen"); return true; });
      process.kill(process.pid, "SIGTERM");
      poll(2000);
      process.kill(process.pid, "SIGTERM");
      console.log("not reached");`;
    const env = { ...process.env, ASYNCDISPATCH_SELECTOR: selector };
    const { stdout, signalCode } = Bun.spawnSync([process.execPath, "-e", script], { env, timeout: 15_000 });
    expect(`${stdout}`).toBe("seen\n");
    expect(signalCode).toBe("SIGTERM");
  });
}, "skipped on Windows, which has no signals");
