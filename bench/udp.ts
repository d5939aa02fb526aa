// UDP echo servers against each other. Usage: bun bench/udp.ts [--rounds=5] [--peers=name,name]
import { parseArgs } from "node:util";
import {
  type Client,
  compileC,
  compileNim,
  formatCount,
  formatRatio,
  type Load,
  measure,
  median,
  medianRatio,
  printTable,
  progress,
  type Sample,
  type Server,
  startClient,
  startServer,
} from "./driver.ts";

type Peer = { name: string; command: string[] };
type Entry = { name: string; server: Server; client: Client; samples: Sample[] };

const load: Load = { mode: "udp", connections: 50, messageBytes: 64, requests: 60_000 };
const baselineName = "raw C";
const bun = process.execPath;
const peers: Peer[] = [
  { name: baselineName, command: [compileC("peers/udp-echo.c")] },
  { name: "ours-into", command: [bun, "peers/udp-ours-into.ts"] },
  { name: "ours", command: [bun, "peers/udp-ours.ts"] },
  { name: "bun-udp", command: [bun, "peers/udp-bun.ts"] },
];
const nim = compileNim("peers/udp_echo.nim");
if (nim) peers.push({ name: "nim", command: [nim] });
else progress("nim is SKIPPED: it is not installed");

const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, peers: { type: "string" } },
});
const rounds = Math.max(Number(options.rounds) || 1, 1);
const chosen = options.peers?.split(",");

async function enter({ name, command }: Peer): Promise<Entry | undefined> {
  let server: Server | undefined;
  try {
    server = await startServer(command);
    return { name, server, client: await startClient(server.port, load), samples: [] };
  } catch (error) {
    progress(`  ${name} is SKIPPED: ${(error as Error).message}`);
    await server?.stop();
    return undefined;
  }
}

const entries: Entry[] = [];
for (const peer of peers.filter(({ name }) => !chosen || name === baselineName || chosen.includes(name))) {
  const entry = await enter(peer);
  if (entry) entries.push(entry);
}
for (let round = 0; round < rounds; round++) {
  progress(`  round ${round + 1} of ${rounds}`);
  // Each round begins with another one, so that no entry always runs after the same other one.
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[(round % 2 ? entries.length - 1 - i + round : i + round) % entries.length] as Entry;
    entry.samples.push(await measure(entry.server, entry.client));
  }
}

const cpu = (entry: Entry | undefined) => entry?.samples.map((sample) => sample.cpuNs) ?? [];
const rate = (entry: Entry | undefined) => entry?.samples.map((sample) => sample.requestsPerSecond) ?? [];
const baseline = entries.find(({ name }) => name === baselineName);
printTable(
  `UDP echo: ${load.connections} sockets, ${load.messageBytes} bytes, ${formatCount(load.requests)} requests, ${rounds} rounds`,
  ["peer", "CPU ns/request", "to C", "requests/s", "to C", "resent"],
  entries.map((entry) => [
    entry.name,
    formatCount(median(cpu(entry))),
    formatRatio(medianRatio(cpu(entry), cpu(baseline))),
    formatCount(median(rate(entry))),
    formatRatio(medianRatio(rate(entry), rate(baseline))),
    formatCount(entry.samples.reduce((sum, { resent }) => sum + resent, 0)),
  ]),
);
const disturbance = Math.max(...entries.flatMap(({ samples }) => samples.map(({ waitShare }) => waitShare)));
if (disturbance >= 0.1) {
  console.log(`Other programs took up to ${Math.round(disturbance * 100)}% of the load generator's core.`);
}
for (const { client, server } of entries) {
  await client.stop();
  await server.stop();
}
process.exit();
