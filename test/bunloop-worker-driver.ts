// A program that starts Workers and ends them, four at once, while its own dispatcher is at work, and prints what it
// saw: a Report. Its arguments: how many Workers, and the manners in which they end, which take turns.
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import {
  type AsyncFD,
  accept,
  addEvent,
  addRead,
  addTimer,
  async,
  asyncCheck,
  closeSocket,
  dial,
  getGlobalDispatcher,
  newAsyncEvent,
  recv,
  register,
  send,
} from "../src/index.ts";
import type { Ending, WorkerTask } from "./bunloop-worker.ts";
import { sleeping } from "./children.ts";
import { isWindows, openDescriptors, openFifo, writeTo } from "./descriptors.ts";
import { removeFolder } from "./folders.ts";
import { listener } from "./sockets-helper.ts";
import { handlesOf, processOf } from "./windows-process.ts";

/** `atOnce` and `whileLoading`: it is terminated before its program has begun, or at any time of its beginning. */
export type Manner = Ending | "atOnce" | "whileLoading";

/** What the process holds. */
export interface Usage {
  readonly descriptors: string[];
  readonly threads: number;
  /** Zero on Windows, which has none. */
  readonly zombies: number;
  /** The signals that have a handler: a mask in hexadecimal. Empty on Windows, which has none. */
  readonly handledSignals: string;
  readonly residentKiB: number;
  readonly virtualKiB: number;
}

export interface Report {
  /** Before the first Worker. */
  readonly initial: Usage;
  /** Once half of the Workers have ended, and all. */
  readonly half: Usage;
  readonly end: Usage;
  /** How many Workers ended in a manner and with an exit code: `manner code`. */
  readonly exits: Record<string, number>;
  /** The uncaught errors of Workers, by message. */
  readonly errors: Record<string, number>;
  /** What the main thread sent to itself, and what came back in order. */
  readonly messages: { readonly sent: number; readonly received: number };
  /** The longest time between two that came back. */
  readonly longestSilenceMs: number;
  /** Of the main thread's event: how often Workers triggered it, and of how many the last call could know. */
  readonly triggers: { readonly given: number; readonly seen: number };
  /** The connections of Workers to the main thread, and how many of them it saw end. */
  readonly connections: { readonly opened: number; readonly ended: number };
  /** The descriptor that all Workers registered still wakes the main thread. */
  readonly sharedDescriptorWorks: boolean;
}

const AT_ONCE = 4;
const WARM_UP = 16;
const terminated = new Set<Manner>([
  "atOnce",
  "whileLoading",
  "spins",
  "opens",
  "blocks",
  "idles",
  "echoes",
  "looksUp",
]);

const connections = { opened: 0, ended: 0 };
const messages = { sent: 0, received: 0 };
let lastMessage = 0;
let longestSilenceMs = 0;

const watchConnection = async(function* (socket: AsyncFD) {
  connections.opened += 1;
  // The end, or that it was reset.
  yield recv(socket, 1);
  connections.ended += 1;
  closeSocket(socket);
});

const acceptWorkers = async(function* (server: AsyncFD) {
  for (;;) asyncCheck(watchConnection(yield* accept(server)));
});

const answer = async(function* (socket: AsyncFD) {
  for (;;) yield* send(socket, yield* recv(socket, 4096));
});

const receiveNumbers = async(function* (socket: AsyncFD) {
  for (;;) {
    const bytes = yield* recv(socket, 4);
    if (bytes.readUInt32LE() === messages.received) messages.received += 1;
    const now = performance.now();
    longestSilenceMs = Math.max(longestSilenceMs, now - lastMessage);
    lastMessage = now;
  }
});

/** Each millisecond the next number, to a socket that sends it back, while `wanted` says so. */
const exchangeNumbers = async(function* (wanted: () => boolean) {
  const { socket, port } = listener();
  const dialled = dial("127.0.0.1", port);
  asyncCheck(answer(yield* accept(socket)));
  const client = yield* dialled;
  asyncCheck(receiveNumbers(client));
  lastMessage = performance.now();
  addTimer(1, false, () => {
    if (!wanted()) return true;
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(messages.sent++);
    asyncCheck(send(client, bytes));
    return false;
  });
});

/** What Workers find in the main thread. */
export class Surroundings implements Disposable {
  readonly task: Omit<WorkerTask, "ending">;
  private readonly directory = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
  private readonly child = Bun.spawn(sleeping(120_000), { stdio: ["ignore", "ignore", "ignore"] });
  private readonly triggers = new Int32Array(new SharedArrayBuffer(4));
  triggersSeen = 0;
  sharedDescriptorWorks = false;

  constructor() {
    const fifo = isWindows ? undefined : join(this.directory, "fifo");
    if (fifo !== undefined) Bun.spawnSync(["mkfifo", fifo], { stdio: ["ignore", "ignore", "inherit"] });
    const { socket, port } = listener();
    asyncCheck(acceptWorkers(socket));
    const event = newAsyncEvent();
    addEvent(event, () => {
      this.triggersSeen = this.triggersGiven;
      return false;
    });
    const fd = openFifo();
    register(fd);
    addRead(fd, () => {
      this.sharedDescriptorWorks = true;
      return true;
    });
    const triggers = this.triggers.buffer as SharedArrayBuffer;
    this.task = { port, pid: this.child.pid, fifo, fd, token: event.token, triggers };
  }

  get triggersGiven(): number {
    return Atomics.load(this.triggers, 0);
  }

  start(ending: Ending): Worker {
    const workerData: WorkerTask = { ...this.task, ending };
    return new Worker(new URL("./bunloop-worker.ts", import.meta.url), { workerData });
  }

  [Symbol.dispose](): void {
    this.child.kill();
    removeFolder(this.directory);
  }
}

function usage(): Usage {
  if (isWindows) {
    const { threads, ...memory } = processOf(process.pid);
    const descriptors = handlesOf(process.pid).map(String);
    return { descriptors, threads: threads.length, zombies: 0, handledSignals: "", ...memory };
  }
  const status = readFileSync("/proc/self/status", "utf8");
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\w+)`, "m").exec(status)?.[1] as string;
  return {
    descriptors: openDescriptors(),
    threads: Number(field("Threads")),
    zombies: zombies(),
    handledSignals: field("SigCgt"),
    residentKiB: Number(field("VmRSS")),
    virtualKiB: Number(field("VmSize")),
  };
}

/** How many children have ended that nobody waited for. */
function zombies(): number {
  return readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return state === "Z" && Number(parent) === process.pid;
    } catch {
      return false; // it has just ended
    }
  }).length;
}

/** Waits for what is to come, but not for ever: the report says when it did not. */
async function until(condition: () => boolean): Promise<void> {
  for (const giveUp = performance.now() + 5000; !condition() && performance.now() < giveUp; ) await Bun.sleep(5);
}

/** What the process holds once the ends of Workers have had their effect; a thread of a lookup may be late. */
async function settledUsage(reference: Usage): Promise<Usage> {
  Bun.gc(true);
  await until(() => {
    const { descriptors, threads } = usage();
    return descriptors.length <= reference.descriptors.length && threads <= reference.threads;
  });
  return usage();
}

function count(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1;
}

async function run(total: number, manners: Manner[]): Promise<Report> {
  using surroundings = new Surroundings();
  let isRunning = true;
  asyncCheck(exchangeNumbers(() => isRunning));
  let exits: Record<string, number> = {};
  let errors: Record<string, number> = {};

  const runWorker = async (manner: Manner, delayMs: number): Promise<void> => {
    const worker = surroundings.start(manner === "atOnce" || manner === "whileLoading" ? "idles" : manner);
    worker.on("error", (error) => count(errors, (error as Error).message));
    const ended = new Promise<number>((resolve) => worker.on("exit", resolve));
    if (terminated.has(manner)) {
      if (manner === "whileLoading") await Bun.sleep(delayMs);
      else if (manner !== "atOnce") await Promise.race([ended, new Promise((go) => worker.on("message", go))]);
      if (manner === "opens") await Bun.sleep(delayMs / 10);
      await worker.terminate();
    }
    count(exits, `${manner} ${await ended}`);
  };

  const runWorkers = async (number: number): Promise<void> => {
    for (let started = 0; started < number; started += AT_ONCE) {
      const batch = Array.from({ length: AT_ONCE }, (_, i) => {
        const index = started + i;
        return runWorker(manners[index % manners.length] as Manner, (index * 0.7) % 40);
      });
      await Promise.all(batch);
    }
  };

  const initial = usage();
  await runWorkers(WARM_UP);
  exits = {};
  errors = {};
  await runWorkers(total / 2);
  const half = await settledUsage(usage());
  await runWorkers(total / 2);
  const end = await settledUsage(half);

  isRunning = false;
  const given = surroundings.triggersGiven;
  await until(() => surroundings.triggersSeen === given && connections.ended === connections.opened);
  await until(() => messages.received === messages.sent);
  writeTo(surroundings.task.fd, "x");
  await until(() => surroundings.sharedDescriptorWorks);
  return {
    initial,
    half,
    end,
    exits,
    errors,
    messages: { ...messages },
    longestSilenceMs,
    triggers: { given, seen: surroundings.triggersSeen },
    connections: { ...connections },
    sharedDescriptorWorks: surroundings.sharedDescriptorWorks,
  };
}

if (import.meta.main) {
  const [total, ...manners] = process.argv.slice(2);
  console.log(JSON.stringify(await run(Number(total), manners as Manner[])));
  getGlobalDispatcher().unref();
}
