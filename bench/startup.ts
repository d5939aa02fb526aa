// How long a program takes to import the library and to poll once, above an empty program of Bun.
// Usage: bun bench/startup.ts
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median, printTable, progress } from "./driver.ts";

const rounds = 41;
const folder = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
process.on("exit", () => rmSync(folder, { recursive: true }));

const FIRST_POLL = `
  import { addTimer, poll } from ${JSON.stringify(join(import.meta.dir, "../src/index.ts"))};
  addTimer(0, true, () => true);
  poll();`;

function write(name: string, program: string): string {
  const path = join(folder, name);
  writeFileSync(path, program);
  return path;
}

function bundle(path: string): string {
  const command = [process.execPath, "build", path, "--target=bun", `--outdir=${join(folder, "bundle")}`];
  const result = Bun.spawnSync(command);
  if (!result.success) throw new Error(`bun build failed:\n${result.stderr}`);
  return join(folder, "bundle", "poll.js");
}

const poll = write("poll.ts", FIRST_POLL);
const programs = new Map([
  ["nothing", write("nothing.ts", "")],
  ["node:net, imported", write("net.ts", 'import "node:net";')],
  ["asyncdispatch, to the first poll", poll],
  ["…bundled by bun build", bundle(poll)],
]);

interface Run {
  readonly elapsedMs: number;
  readonly cpuMs: number;
}

/** Runs a program. Bundles of a clone carry no library, so that all are told of it. */
function run(path: string): Run {
  const library = join(import.meta.dir, "../zig-out/lib/libasyncdispatch.so");
  const start = Bun.nanoseconds();
  const result = Bun.spawnSync([process.execPath, path], { env: { ...process.env, ASYNCDISPATCH_LIBRARY: library } });
  const elapsedMs = (Bun.nanoseconds() - start) / 1e6;
  if (!result.success) throw new Error(`${path} failed:\n${result.stderr}`);
  return { elapsedMs, cpuMs: Number(result.resourceUsage.cpuTime.total) / 1000 };
}

const runs = new Map<string, Run[]>([...programs.keys()].map((name) => [name, []]));
progress(`${rounds} rounds`);
for (let round = 1; round <= rounds; round++) {
  const order = [...programs];
  for (const [name, path] of round % 2 ? order : order.toReversed()) runs.get(name)?.push(run(path));
}

const of = (name: string, pick: (run: Run) => number): number => median((runs.get(name) ?? []).map(pick));
const above = (name: string, pick: (run: Run) => number): string => (of(name, pick) - of("nothing", pick)).toFixed(1);
printTable(
  `start of a program, ${rounds} rounds, medians`,
  ["what it does", "ms", "above nothing", "CPU ms above"],
  [...programs.keys()].map((name) => [
    name,
    of(name, ({ elapsedMs }) => elapsedMs).toFixed(1),
    above(name, ({ elapsedMs }) => elapsedMs),
    above(name, ({ cpuMs }) => cpuMs),
  ]),
);
