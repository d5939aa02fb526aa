// One-shot timers of 0 to 1000 ms: CPU of the whole process for a million, lateness of ten thousand.
// Usage: bun bench/timers.ts
import { compileC, compileNim, formatCount, formatRatio, median, medianRatio, printTable, progress } from "./driver.ts";

const rounds = 3;
const MANY = 1_000_000;
const FEW = 10_000;

type Run = { cpuMs: number; early: number; meanLatenessMs: number };
type Peer = { name: string; command: string[] };

const bun = process.execPath;
const node = Bun.which("node");
const nim = compileNim("peers/timers.nim");
const peers: Peer[] = [
  { name: "Bun setTimeout", command: [bun, "peers/timers.mjs", "COUNT", "setTimeout"] },
  { name: "Bun.sleep", command: [bun, "peers/timers.mjs", "COUNT", "Bun.sleep"] },
  { name: "ours, addTimer", command: [bun, "peers/timers-ours.ts", "COUNT", "addTimer"] },
  { name: "ours, sleepAsync", command: [bun, "peers/timers-ours.ts", "COUNT", "sleepAsync"] },
  { name: "raw C", command: [compileC("peers/timers.c"), "COUNT"] },
];
if (nim) peers.push({ name: "Nim sleepAsync", command: [nim, "COUNT"] });
else progress("Nim is SKIPPED: it is not installed");
if (node) peers.push({ name: "Node setTimeout", command: [node, "peers/timers.mjs", "COUNT", "setTimeout"] });

function run({ name, command }: Peer, count: number): Run {
  const filled = command.map((word) => (word === "COUNT" ? String(count) : word));
  const result = Bun.spawnSync(["taskset", "-c", "0", ...filled], { cwd: import.meta.dir, timeout: 60_000 });
  if (!result.success) throw new Error(`${name} failed:\n${result.stderr}`);
  const { early, meanLatenessMs } = JSON.parse(result.stdout.toString());
  return { cpuMs: Number(result.resourceUsage.cpuTime.total) / 1000, early, meanLatenessMs };
}

function measure(count: number): Map<string, Run[]> {
  const runs = new Map(peers.map(({ name }) => [name, [] as Run[]]));
  for (let round = 1; round <= rounds; round++) {
    progress(`  ${formatCount(count)} timers, round ${round} of ${rounds}`);
    for (const peer of round % 2 ? peers : peers.toReversed()) runs.get(peer.name)?.push(run(peer, count));
  }
  return runs;
}

const many = measure(MANY);
const cpu = (name: string): number[] => (many.get(name) ?? []).map(({ cpuMs }) => cpuMs);
printTable(
  `${formatCount(MANY)} one-shot timers of 0 to 1000 ms, ${rounds} rounds`,
  ["peer", "CPU ms", "to Bun setTimeout", "to Bun.sleep"],
  peers.map(({ name }) => [
    name,
    formatCount(median(cpu(name))),
    formatRatio(medianRatio(cpu(name), cpu("Bun setTimeout"))),
    formatRatio(medianRatio(cpu(name), cpu("Bun.sleep"))),
  ]),
);

const few = measure(FEW);
printTable(
  `${formatCount(FEW)} one-shot timers of 0 to 1000 ms, ${rounds} rounds`,
  ["peer", "early", "mean lateness ms"],
  [...few].map(([name, runs]) => [
    name,
    formatCount(Math.max(...runs.map(({ early }) => early))),
    median(runs.map(({ meanLatenessMs }) => meanLatenessMs)).toFixed(3),
  ]),
);
process.exit();
