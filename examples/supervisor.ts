// Keeps a command running: starts it again when it ends, later each time that it ends quickly, and stops it and
// itself on SIGTERM or Ctrl-C.
//
//   bun run examples/supervisor.ts <command> [argument...]
//
// First delay and longest one, in milliseconds: SUPERVISOR_DELAY (200) and SUPERVISOR_MAX_DELAY (30000).
import {
  addSignal,
  async,
  CancelledError,
  type Future,
  type ProcessExit,
  sleepAsync,
  unregister,
  waitProcess,
  withTimeout,
} from "asyncdispatch";

const command = process.argv.slice(2);
const firstDelayMs = Number(process.env.SUPERVISOR_DELAY ?? 200);
const maxDelayMs = Number(process.env.SUPERVISOR_MAX_DELAY ?? 30_000);
/** A child that ran this long is well again: the next delay is the first one. */
const HEALTHY_AFTER_MS = 10_000;
/** How long a child may take to end when it is asked to. */
const STOP_TIMEOUT_MS = 5000;

if (command.length === 0) {
  console.error("usage: bun run examples/supervisor.ts <command> [argument...]");
  process.exit(2);
}

/** What is being waited for right now; stopping cancels it, which is how `supervise` learns of it. */
let current: Future<unknown> | undefined;
let stopping = false;

function stop(name: string): boolean {
  console.log(`${name}: stopping`);
  stopping = true;
  current?.cancel(name);
  return false;
}

/** Before Linux 6.15, the system may tell only Bun how a child ended, which has waited for it in its own loop. */
function describe(child: Bun.Subprocess, { exitCode, signal }: ProcessExit): string {
  const name = signal ?? child.signalCode;
  return name === null ? `with code ${exitCode ?? child.exitCode}` : `by ${name}`;
}

const supervise = async(function* () {
  let delayMs = firstDelayMs;
  while (!stopping) {
    const child = Bun.spawn(command, { stdio: ["ignore", "inherit", "inherit"] });
    const startedAt = performance.now();
    console.log(`child ${child.pid} started`);
    const exit = waitProcess(child.pid);
    try {
      current = exit;
      const how = yield* exit;
      console.log(`child ${child.pid} ended ${describe(child, how)}`);
    } catch (error) {
      if (!(error instanceof CancelledError)) throw error;
      yield* end(child);
      return;
    }
    if (performance.now() - startedAt > HEALTHY_AFTER_MS) delayMs = firstDelayMs;
    console.log(`starting it again in ${delayMs} ms`);
    const delay = sleepAsync(delayMs);
    current = delay;
    yield delay; // not yield*: when it is cancelled, the loop ends by itself
    delayMs = Math.min(2 * delayMs, maxDelayMs);
  }
});

/** Asks a child to end, and makes it when it does not. */
const end = async(function* (child: Bun.Subprocess) {
  const exit = waitProcess(child.pid);
  child.kill("SIGTERM");
  if (!(yield* withTimeout(exit, STOP_TIMEOUT_MS))) child.kill("SIGKILL");
  const how = yield* exit;
  console.log(`child ${child.pid} ended ${describe(child, how)}`);
});

const signals = [addSignal("SIGTERM", () => stop("SIGTERM")), addSignal("SIGINT", () => stop("SIGINT"))];
console.log(`supervising ${command.join(" ")}`);
await supervise();
for (const signal of signals) unregister(signal);
console.log("stopped");
