// For the tests of what Bun's loop drives, and for the programs that they run.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as library from "../src/index.ts";
import { type AsyncFD, accept, type Callback, closeSocket, dial, type SelectorKind } from "../src/index.ts";
import { type Outcome, runScript } from "./children.ts";
import { closeAfterTest, isWindows } from "./descriptors.ts";
import { isQemu } from "./qemu.ts";
import { listener } from "./sockets-helper.ts";
import { processOf, threadsOfModule } from "./windows-process.ts";

/** Two registered sockets that are connected with each other, without a blocking call. */
export async function hostedPair(): Promise<[AsyncFD, AsyncFD]> {
  const { socket, port } = listener();
  const dialled = dial("127.0.0.1", port);
  const accepted = closeAfterTest(await accept(socket));
  closeSocket(socket);
  return [closeAfterTest(await dialled), accepted];
}

/** Resolves with the descriptor when the callback that `start` gets is called, which removes its watch. */
export function called(start: (callback: Callback) => unknown): Promise<AsyncFD> {
  return new Promise((resolve) => {
    start((fd) => {
      resolve(fd);
      return true;
    });
  });
}

/** Long enough for Bun's loop to do what it would do, where a test expects that nothing happens. */
export function aWhile(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 20));
}

/** What the system says of a thread in one line of its status; undefined when it has ended. */
function statusOf(pid: number, thread: string, name: string): string | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    return status.match(new RegExp(`^${name}:\\s*(.*)$`, "m"))?.[1];
  } catch {
    return undefined;
  }
}

/** The waiter threads of a process: alone among Bun's threads, they have the name of the main one. */
export function waiterThreads(pid = process.pid): string[] {
  if (isWindows) return threadsOfModule(pid, "asyncdispatch.dll").map(String);
  const main = String(pid);
  const name = statusOf(pid, main, "Name");
  for (let triesLeft = 1000; ; triesLeft--) {
    const threads = readdirSync(`/proc/${pid}/task`).filter(
      (thread) => thread !== main && statusOf(pid, thread, "Name") === name,
    );
    // The system lists a thread for a moment after its end; a waiter sleeps nearly always.
    const allSleep = threads.every((thread) => statusOf(pid, thread, "State")?.startsWith("S"));
    if (allSleep || triesLeft === 0) return isQemu ? withoutOldest(threads) : threads;
    Bun.sleepSync(1);
  }
}

/** Without qemu's own thread. */
function withoutOldest(threads: string[]): string[] {
  return threads.toSorted((a, b) => Number(a) - Number(b)).slice(1);
}

/** How often a thread has gone to sleep so far; Windows does not tell. */
export function voluntarySwitches(thread: string): number {
  if (isWindows) return 0;
  return Number(statusOf(process.pid, thread, "voluntary_ctxt_switches"));
}

/** Memory that a process shares with no other one. */
export function privateKiB(pid = process.pid): number {
  if (isWindows) return processOf(pid).privateKiB;
  const kinds = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").matchAll(/^Private_\w+:\s*(\d+) kB$/gm);
  return [...kinds].reduce((sum, [, size]) => sum + Number(size), 0);
}

export const packageRoot = join(import.meta.dir, "..");

/** A script, to be run in {@link packageRoot}, that knows every name of the library and what helps here. */
export function programOf(body: string): string {
  return `import { ${Object.keys(library).join(", ")} } from "./src/index.ts";
    import { hostedPair, privateKiB, voluntarySwitches, waiterThreads } from "./test/bunloop-helper.ts";
    import { exiting, sleeping } from "./test/children.ts";
    import { connectedPair, listener } from "./test/sockets-helper.ts";
    ${body}`;
}

/** Runs the program of `body` in a Bun of its own. */
export function runProgram(selector: SelectorKind, body: string): Outcome {
  return runScript(programOf(body), [], { ASYNCDISPATCH_SELECTOR: selector });
}
