// Runs native and script peers on one core and a load generator on another, and measures them from outside.
import { dlopen } from "bun:ffi";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { arch, platform } from "node:os";
import { basename, join } from "node:path";

const benchDir = import.meta.dir;
const buildDir = join(benchDir, ".build");
const zigPath = join(benchDir, `../node_modules/@zigc/${platform()}-${arch()}/bin/zig`);

const serverCore = 0;
const clientCore = 1;
const startTimeoutMs = 10_000;
const settleMs = 10; // lets a runtime finish what it put off until it is idle

export function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

// ---- compiling

// Each returns the path of an executable, compiled again only when its source is newer. compileNim returns undefined
// where there is no Nim.
export function compileC(source: string): string {
  return compile(source, ["zig", "cc", "-O2", "-Wall"], zigPath, (out) => ["-o", out]);
}

export function compileNim(source: string): string | undefined {
  const nim = Bun.which("nim");
  if (!nim) return undefined;
  const cache = join(buildDir, "nimcache");
  const flags = ["nim", "c", "-d:release", "--mm:orc", "--hints:off", "--warnings:off", `--nimcache:${cache}`];
  return compile(source, flags, nim, (out) => [`--out:${out}`]);
}

function compile(source: string, command: string[], program: string, outFlags: (out: string) => string[]): string {
  const path = join(benchDir, source);
  const out = join(buildDir, basename(source).replace(".", "-"));
  if (existsSync(out) && statSync(out).mtimeMs > statSync(path).mtimeMs) return out;
  mkdirSync(buildDir, { recursive: true });
  progress(`compiling ${source}`);
  const result = Bun.spawnSync([program, ...command.slice(1), ...outFlags(out), path], { timeout: 120_000 });
  if (!result.success) throw new Error(`${source} does not compile:\n${result.stderr}${result.stdout}`);
  return out;
}

// ---- processes

type Child = Bun.Subprocess<"pipe", "pipe", "pipe">;
const children = new Set<Child>();

process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));

// The death signal is for a driver that is killed and cannot clean up. Every step execs the next, so the pid stays.
function spawnPinned(core: number, command: string[]): Child {
  const script = 'ulimit -n "$(ulimit -Hn)" && exec setpriv --pdeathsig KILL taskset -c "$@"';
  const child = Bun.spawn(["sh", "-c", script, "sh", String(core), ...command], {
    cwd: benchDir,
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  children.add(child);
  return child;
}

async function stop(child: Child): Promise<void> {
  child.kill("SIGKILL");
  await child.exited;
  children.delete(child);
}

class Lines {
  #chunks: AsyncIterator<Uint8Array>;
  #decoder = new TextDecoder();
  #text = "";

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  // Undefined when the stream ends or the time runs out first. Not to be used again after that.
  async next(timeoutMs: number): Promise<string | undefined> {
    const timeout = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => timeout.resolve(undefined), timeoutMs);
    try {
      for (;;) {
        const end = this.#text.indexOf("\n");
        if (end >= 0) {
          const line = this.#text.slice(0, end);
          this.#text = this.#text.slice(end + 1);
          return line;
        }
        const chunk = await Promise.race([this.#chunks.next(), timeout.promise]);
        if (!chunk?.value) return undefined;
        this.#text += this.#decoder.decode(chunk.value, { stream: true });
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

// Why a process did not do what it was started for: its own words, read after it has ended.
async function reason(child: Child, otherwise: string): Promise<string> {
  await stop(child);
  const lines = (await child.stderr.text()).split("\n").map((line) => line.trim());
  return lines.find((line) => /error|cannot|not found/i.test(line)) ?? lines.find((line) => line) ?? otherwise;
}

export type Server = { pid: number; port: number; nextLine(): Promise<string | undefined>; stop(): Promise<void> };

// Starts a server whose first line on stdout is "port N". Throws with the reason when there is no such line.
export async function startServer(command: string[]): Promise<Server> {
  const child = spawnPinned(serverCore, command);
  const lines = new Lines(child.stdout);
  const line = await lines.next(startTimeoutMs);
  const port = Number(line?.match(/^port (\d+)$/)?.[1]);
  if (!port) throw new Error(await reason(child, "it printed no port"));
  child.stderr.text().catch(() => {}); // a full pipe would stop the server
  return { pid: child.pid, port, nextLine: () => lines.next(startTimeoutMs), stop: () => stop(child) };
}

export type Load = {
  connections: number;
  messageBytes: number;
  requests: number;
  // udp: datagrams, and a connection is a socket that sends them; http: requests of no body, whatever messageBytes says
  mode: "echo" | "churn" | "idle" | "udp" | "http";
  idleConnections?: number;
};
export type LoadResult = { requests: number; elapsedNs: number; errors: number; resent?: number };
export type Client = { pid: number; run(): Promise<LoadResult>; stop(): Promise<void> };

const loadTimeoutMs = 20_000;

function clientCommand(
  port: number,
  { mode, connections, messageBytes, requests, idleConnections = 0 }: Load,
): string[] {
  const seconds = loadTimeoutMs / 1000;
  const words = (...values: (string | number)[]) => values.map(String);
  if (mode === "http") return words(compileC("peers/http-client.c"), port, connections, requests, seconds);
  const common = [port, connections, messageBytes, requests, seconds];
  if (mode === "udp") return words(compileC("peers/udp-client.c"), ...common);
  return words(compileC("peers/client.c"), ...common, mode, idleConnections);
}

// Starts the load generator against a port. It has its connections open and has run the load once, as a warm-up, when
// this returns; run() runs the load again on the same connections. Throws when a load is not complete.
export async function startClient(port: number, load: Load): Promise<Client> {
  const child = spawnPinned(clientCore, clientCommand(port, load));
  const lines = new Lines(child.stdout);
  const ready = await lines.next(loadTimeoutMs * 2);
  if (ready !== "ready") throw new Error(await reason(child, `the warm-up was not complete: ${ready ?? "no answer"}`));
  return {
    pid: child.pid,
    async run() {
      child.stdin.write("\n");
      await child.stdin.flush();
      const line = await lines.next(loadTimeoutMs + 5000);
      if (!line) throw new Error(await reason(child, "the load generator gave no answer"));
      const result = JSON.parse(line) as LoadResult;
      if (result.requests !== load.requests || result.errors > 0) throw new Error(`the load was not complete: ${line}`);
      return result;
    },
    stop: () => stop(child),
  };
}

// ---- measuring

const libc = dlopen("libc.so.6", { clock_gettime: { args: ["i32", "buffer"], returns: "i32" } }).symbols;
const timespec = new BigInt64Array(2);

// CPU time of all threads of a process. This clock is as exact as the sum over /proc/<pid>/task/*/schedstat, and also
// keeps what threads used that have ended since.
export function cpuNs(pid: number): number {
  const processClock = (~pid << 3) | 2; // what clock_getcpuclockid makes of a pid
  if (libc.clock_gettime(processClock, timespec) !== 0) throw new Error(`no CPU clock for process ${pid}`);
  const [seconds = 0n, ns = 0n] = timespec;
  return Number(seconds) * 1e9 + Number(ns);
}

// Proportional set size: shared pages count by share. Kernel memory (socket buffers) is not in it.
export function memoryBytes(pid: number): number {
  const kib = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").match(/^Pss:\s+(\d+) kB$/m)?.[1];
  return Number(kib) * 1024;
}

// How long the main thread of a process was ready to run while its core ran something else.
function waitNs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1]);
}

// waitShare: the part of the time that the load generator waited for its core, which only other programs can cause.
// resent: how many datagrams did not come back in time.
export type Sample = { cpuNs: number; requestsPerSecond: number; waitShare: number; resent: number };

export async function measure(server: Server, client: Client): Promise<Sample> {
  await Bun.sleep(settleMs);
  const cpuBefore = cpuNs(server.pid);
  const waitBefore = waitNs(client.pid);
  const { requests, elapsedNs, resent = 0 } = await client.run();
  const waitShare = (waitNs(client.pid) - waitBefore) / elapsedNs;
  await Bun.sleep(settleMs);
  const cpuPerRequest = (cpuNs(server.pid) - cpuBefore) / requests;
  return { cpuNs: cpuPerRequest, requestsPerSecond: (requests * 1e9) / elapsedNs, waitShare, resent };
}

// How often a server made each system call during one load. Throws where strace may not attach.
export async function countSyscalls(server: Server, client: Client): Promise<Map<string, number>> {
  const tracer = spawnPinned(clientCore, ["strace", "-c", "-f", "-p", String(server.pid)]);
  const lines = new Lines(tracer.stderr);
  try {
    const attached = await lines.next(startTimeoutMs);
    if (!attached?.includes("attached")) throw new Error(attached ?? "strace did not attach");
    await Bun.sleep(200); // the other threads
    await client.run();
    tracer.kill("SIGINT"); // makes strace detach and print its summary
    const counts = new Map<string, number>();
    for (;;) {
      const line = await lines.next(startTimeoutMs);
      if (line === undefined) return counts;
      const [, calls, name] = line.match(/^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$/) ?? [];
      if (name && name !== "total") counts.set(name, Number(calls));
    }
  } finally {
    await stop(tracer);
  }
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

// The median of what each round's value is of the same round's baseline, so that a machine that gets slower or faster
// between rounds does not matter.
export function medianRatio(values: number[], baseline: number[]): number {
  return median(values.map((value, round) => value / (baseline[round] ?? Number.NaN)));
}

// ---- printing

export function formatCount(value: number): string {
  return Math.round(value).toLocaleString("en");
}

export function formatRatio(value: number): string {
  return Number.isNaN(value) ? "-" : `${value.toFixed(2)}x`;
}

// The first column to the left, the others to the right.
export function printTable(title: string, head: string[], rows: string[][]): void {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: string[]) =>
    row.map((cell, column) => (column ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[0] ?? 0))).join("  ");
  console.log(
    [`\n${title}`, line(head), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)].join("\n"),
  );
}
