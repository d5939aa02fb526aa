// Children that are started by Bun.spawn, and who waits for them. Usage: bun bench/children.ts
import { formatCount, formatRatio, median, medianRatio, printTable, progress } from "./driver.ts";

const rounds = 7;
const COUNT = 500;
const peers = ["exited", "waitProcess"] as const;

type Run = { elapsedNs: number; cpuNs: number; left: number };

function run(how: string): Run {
  const command = [process.execPath, "peers/children.ts", how, String(COUNT)];
  const result = Bun.spawnSync(command, { cwd: import.meta.dir, timeout: 60_000 });
  if (!result.success) throw new Error(`${how} failed:\n${result.stderr}`);
  return JSON.parse(result.stdout.toString()) as Run;
}

const runs = new Map<string, Run[]>(peers.map((how) => [how, []]));
for (let round = 1; round <= rounds; round++) {
  progress(`  round ${round} of ${rounds}`);
  for (const how of round % 2 ? peers : peers.toReversed()) runs.get(how)?.push(run(how));
}
const of = (how: string, pick: (run: Run) => number): number[] => (runs.get(how) ?? []).map(pick);
const wall = ({ elapsedNs }: Run): number => elapsedNs / COUNT;
const cpu = ({ cpuNs }: Run): number => cpuNs / COUNT;
printTable(
  `${formatCount(COUNT)} children, ${rounds} rounds`,
  ["waited for by", "wall ns/child", "to exited", "CPU ns/child", "to exited", "left over"],
  peers.map((how) => [
    how,
    formatCount(median(of(how, wall))),
    formatRatio(medianRatio(of(how, wall), of("exited", wall))),
    formatCount(median(of(how, cpu))),
    formatRatio(medianRatio(of(how, cpu), of("exited", cpu))),
    formatCount(Math.max(...of(how, ({ left }) => left))),
  ]),
);
