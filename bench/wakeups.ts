// Two threads that wake each other: round trips, and one-way triggers. Usage: bun bench/wakeups.ts
import { compileC, formatCount, formatRatio, median, medianRatio, printTable, progress } from "./driver.ts";

const rounds = 5;
const COUNT = 100_000;
/** Both threads on one core show what a wake-up costs; on two, also how long it takes to reach the other one. */
const CORES = ["0", "0,1"];

type Run = { elapsedNs: number; cpuNs: number };
type Peer = { name: string; command: string[] };

const raw = compileC("peers/wakeups.c");
const peers: Peer[] = [
  { name: "raw C, epoll", command: [raw, "epoll"] },
  { name: "raw C, blocking read", command: [raw, "read"] },
  { name: "ours, AsyncEvent", command: [process.execPath, "peers/wakeups-ours.ts"] },
  { name: "Bun, postMessage", command: [process.execPath, "peers/wakeups-bun.ts"] },
];

function run({ name, command }: Peer, cores: string, mode: string): Run {
  const full = ["taskset", "-c", cores, ...command, mode, String(COUNT)];
  const result = Bun.spawnSync(full, { cwd: import.meta.dir, timeout: 60_000 });
  if (!result.success) throw new Error(`${name} failed:\n${result.stderr}`);
  return JSON.parse(result.stdout.toString()) as Run;
}

function measure(cores: string, mode: string): void {
  const runs = new Map(peers.map(({ name }) => [name, [] as Run[]]));
  for (let round = 1; round <= rounds; round++) {
    progress(`  ${mode}, cores ${cores}: round ${round} of ${rounds}`);
    for (const peer of round % 2 ? peers : peers.toReversed()) runs.get(peer.name)?.push(run(peer, cores, mode));
  }
  const wall = (name: string): number[] => (runs.get(name) ?? []).map(({ elapsedNs }) => elapsedNs / COUNT);
  const cpu = (name: string): number[] => (runs.get(name) ?? []).map(({ cpuNs }) => cpuNs / COUNT);
  const [base] = peers as [Peer];
  const last = peers.at(-1) as Peer;
  printTable(
    `${mode}: ${formatCount(COUNT)}, cores ${cores}, ${rounds} rounds`,
    ["peer", "wall ns", "to C", "to postMessage", "CPU ns", "to C", "to postMessage"],
    peers.map(({ name }) => [
      name,
      formatCount(median(wall(name))),
      formatRatio(medianRatio(wall(name), wall(base.name))),
      formatRatio(medianRatio(wall(name), wall(last.name))),
      formatCount(median(cpu(name))),
      formatRatio(medianRatio(cpu(name), cpu(base.name))),
      formatRatio(medianRatio(cpu(name), cpu(last.name))),
    ]),
  );
}

for (const mode of ["ping-pong", "one-way"]) for (const cores of CORES) measure(cores, mode);
