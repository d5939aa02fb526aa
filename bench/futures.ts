// Futures against promises and Nim's futures: a million times create, addCallback, complete; and a thousand chains of
// a thousand awaits. Usage: bun bench/futures.ts
import { compileNim, formatCount, formatRatio, median, medianRatio, printTable, progress } from "./driver.ts";

const rounds = 5;

type Times = { futuresMs: number; chainMs: number };
type Peer = { name: string; command: string[] };

const node = Bun.which("node");
const nim = compileNim("peers/futures.nim");
const peers: Peer[] = [
  { name: "Bun promises", command: [process.execPath, "peers/futures.mjs"] },
  { name: "ours", command: [process.execPath, "peers/futures-ours.ts"] },
];
if (nim) peers.push({ name: "Nim", command: [nim] });
else progress("Nim is SKIPPED: it is not installed");
if (node) peers.push({ name: "Node promises", command: [node, "peers/futures.mjs"] });

function run({ name, command }: Peer): Times {
  const result = Bun.spawnSync(["taskset", "-c", "0", ...command], { cwd: import.meta.dir, timeout: 60_000 });
  if (!result.success) throw new Error(`${name} failed:\n${result.stderr}`);
  return JSON.parse(result.stdout.toString());
}

const times = new Map(peers.map(({ name }) => [name, [] as Times[]]));
for (let round = 1; round <= rounds; round++) {
  progress(`  round ${round} of ${rounds}`);
  for (const peer of round % 2 ? peers : peers.toReversed()) times.get(peer.name)?.push(run(peer));
}

for (const [key, title] of [
  ["futuresMs", "1,000,000 × create, addCallback, complete"],
  ["chainMs", "1,000 chains of 1,000 awaits"],
] as const) {
  const of = (name: string): number[] => (times.get(name) ?? []).map((each) => each[key]);
  printTable(
    `${title}, ${rounds} rounds`,
    ["peer", "ms", "to Bun promises", "to Nim"],
    peers.map(({ name }) => [
      name,
      formatCount(median(of(name))),
      formatRatio(medianRatio(of(name), of("Bun promises"))),
      nim ? formatRatio(medianRatio(of(name), of("Nim"))) : "-",
    ]),
  );
}
process.exit();
