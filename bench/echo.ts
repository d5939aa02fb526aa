// Echo servers against each other. Usage: bun bench/echo.ts [--rounds=5] [--peers=name,name] [workload...]
import { parseArgs } from "node:util";
import {
  type Client,
  compileC,
  compileNim,
  countSyscalls,
  formatCount,
  formatRatio,
  type Load,
  measure,
  median,
  medianRatio,
  memoryBytes,
  printTable,
  progress,
  type Sample,
  type Server,
  startClient,
  startServer,
} from "./driver.ts";

type Workload = Load & { readBytes?: number };
type Peer = { name: string; command: (readBytes: number) => string[] | string }; // or why there is none
type Entry = { name: string; server: Server; client: Client; samples: Sample[] };

const baselineName = "raw C";
const defaultReadBytes = 16 * 1024;

const workloads: Record<string, Workload> = {
  "echo-1": { mode: "echo", connections: 1, messageBytes: 64, requests: 12_000 },
  "echo-50": { mode: "echo", connections: 50, messageBytes: 64, requests: 60_000 },
  "echo-500": { mode: "echo", connections: 500, messageBytes: 64, requests: 60_000 },
  "echo-50-16k": { mode: "echo", connections: 50, messageBytes: 16 * 1024, requests: 30_000 },
  bulk: { mode: "echo", connections: 4, messageBytes: 256 * 1024, requests: 2000, readBytes: 512 * 1024 },
  churn: { mode: "churn", connections: 20, messageBytes: 64, requests: 8000 },
};
const idleConnections = 10_000;
const active: Workload = { mode: "idle", connections: 50, messageBytes: 64, requests: 40_000 };
const traced: Workload = { mode: "echo", connections: 50, messageBytes: 64, requests: 5000 };

const script = (runtime: string, file: string): Peer["command"] => {
  const program = runtime === "bun" ? process.execPath : Bun.which(runtime);
  return (readBytes) => (program ? [program, `peers/${file}`, String(readBytes)] : `${runtime} is not installed`);
};

const peers: Peer[] = [
  { name: baselineName, command: (readBytes) => [compileC("peers/echo.c"), String(readBytes)] },
  { name: "ours-callbacks", command: script("bun", "ours-callbacks.ts") },
  { name: "ours-generator", command: script("bun", "ours-generator.ts") },
  { name: "ours-hosted", command: script("bun", "ours-hosted.ts") },
  { name: "ours-generator, recvInto", command: script("bun", "ours-into.ts") },
  { name: "ours-async", command: script("bun", "ours-async.ts") },
  { name: "bun-listen", command: script("bun", "bun-listen.ts") },
  { name: "node-net on Bun", command: script("bun", "node-net.mjs") },
  { name: "node-net on Node", command: script("node", "node-net.mjs") },
  {
    name: "nim",
    command: (readBytes) => {
      const path = compileNim("peers/echo.nim");
      return path ? [path, String(readBytes)] : "nim is not installed";
    },
  },
];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "5" }, peers: { type: "string" } },
});
const rounds = Math.max(Number(options.rounds) || 1, 1);
const chosen = options.peers?.split(",");
const isChosen = ({ name }: Peer) => !chosen || name === baselineName || chosen.includes(name);

// Starts a server and its client, warmed up. A peer that cannot take part is named and left out.
async function enter(peer: Peer, load: Workload): Promise<Entry | undefined> {
  const command = peer.command(load.readBytes ?? defaultReadBytes);
  let server: Server | undefined;
  try {
    if (typeof command === "string") throw new Error(command);
    server = await startServer(command);
    return { name: peer.name, server, client: await startClient(server.port, load), samples: [] };
  } catch (error) {
    progress(`  ${peer.name} is SKIPPED: ${(error as Error).message}`);
    await server?.stop();
    return undefined;
  }
}

async function leave({ client, server }: Entry): Promise<void> {
  await client.stop();
  await server.stop();
}

// Every round measures every entry, each round beginning with another one and every second one in reverse, so that no
// entry always runs after the same other one. An entry that fails is left out.
async function measureAll(entries: Entry[]): Promise<Entry[]> {
  const failed = new Set<Entry>();
  for (let round = 0; round < rounds; round++) {
    progress(`  round ${round + 1} of ${rounds}`);
    for (let i = 0; i < entries.length; i++) {
      const place = round % 2 ? entries.length - 1 - i : i;
      const entry = entries[(place + round) % entries.length];
      if (!entry || failed.has(entry)) continue;
      try {
        entry.samples.push(await measure(entry.server, entry.client));
      } catch (error) {
        progress(`  ${entry.name} FAILED: ${(error as Error).message}`);
        process.exitCode = 1;
        failed.add(entry);
      }
    }
  }
  return entries.filter((entry) => !failed.has(entry));
}

const cpu = (entry: Entry | undefined) => entry?.samples.map((sample) => sample.cpuNs) ?? [];
const rate = (entry: Entry | undefined) => entry?.samples.map((sample) => sample.requestsPerSecond) ?? [];

const head = ["peer", "CPU ns/request", "to C", "requests/s", "to C"];

function printDisturbance(entries: Entry[]): void {
  const share = Math.max(...entries.flatMap(({ samples }) => samples.map(({ waitShare }) => waitShare)));
  if (share < 0.1) return;
  console.log(
    `Other programs took up to ${Math.round(share * 100)}% of the load generator's core: requests/s is too low.`,
  );
}

async function runEcho(name: string, load: Workload): Promise<void> {
  progress(name);
  const candidates = peers.filter(isChosen);
  // Bigger reads are a choice that not every program makes, so the baseline also runs with the usual ones.
  const usual: Peer = {
    name: `${baselineName}, 16 KiB reads`,
    command: () => peers[0]?.command(defaultReadBytes) ?? "",
  };
  if (load.readBytes) candidates.splice(1, 0, usual);

  const entries: Entry[] = [];
  for (const peer of candidates) {
    const entry = await enter(peer, load);
    if (entry) entries.push(entry);
  }
  const measured = await measureAll(entries);
  const baseline = measured.find((entry) => entry.name === baselineName);
  const rows = measured.map((entry) => [
    entry.name,
    formatCount(median(cpu(entry))),
    formatRatio(medianRatio(cpu(entry), cpu(baseline))),
    formatCount(median(rate(entry))),
    formatRatio(medianRatio(rate(entry), rate(baseline))),
  ]);
  const what = `${load.connections} connections${load.mode === "churn" ? " at a time" : ""}, ${load.messageBytes} bytes`;
  printTable(`${name}: ${what}, ${formatCount(load.requests)} requests, ${rounds} rounds`, head, rows);
  printDisturbance(measured);
  for (const entry of entries) await leave(entry);
}

// Every peer twice, with and without the idle connections.
async function runIdle(): Promise<void> {
  progress("idle");
  const entries: Entry[] = [];
  for (const peer of peers.filter(isChosen)) {
    const alone = await enter(peer, active);
    const crowded = alone && (await enter(peer, { ...active, idleConnections }));
    if (crowded) entries.push(alone, { ...crowded, name: `${peer.name} + idle` });
    else if (alone) await leave(alone);
  }
  const measured = await measureAll(entries);
  const rows = measured.flatMap((alone) => {
    const crowded = measured.find((entry) => entry.name === `${alone.name} + idle`);
    if (!crowded) return [];
    const idleBytes = (memoryBytes(crowded.server.pid) - memoryBytes(alone.server.pid)) / idleConnections;
    return [
      [
        alone.name,
        formatCount(median(rate(alone))),
        formatCount(median(rate(crowded))),
        formatRatio(medianRatio(rate(crowded), rate(alone))),
        formatCount(median(cpu(alone))),
        formatCount(median(cpu(crowded))),
        formatRatio(medianRatio(cpu(crowded), cpu(alone))),
        formatCount(Math.max(idleBytes, 0)),
      ],
    ];
  });
  printTable(
    `idle: 50 active connections, alone and with ${formatCount(idleConnections)} idle ones, ${rounds} rounds`,
    ["peer", "requests/s", "with idle", "ratio", "CPU ns/request", "with idle", "ratio", "bytes/idle"],
    rows,
  );
  printDisturbance(measured);
  for (const entry of entries) await leave(entry);
}

// Calls that mean the same are one column.
const syscallColumns: Record<string, RegExp> = {
  epoll_ctl: /^epoll_ctl$/,
  epoll_wait: /^epoll_p?wait2?$/,
  recv: /^(recv(from|msg)?|readv?)$/,
  send: /^(send(to|msg)?|writev?)$/,
};

async function runSyscalls(): Promise<void> {
  progress("syscalls");
  const rows: string[][] = [];
  const names = chosen ?? ["ours-generator"];
  for (const peer of peers.filter(({ name }) => name === baselineName || names.includes(name))) {
    const entry = await enter(peer, traced);
    if (!entry) continue;
    try {
      const counts = await countSyscalls(entry.server, entry.client);
      const perRequest = (matches: (name: string) => boolean) =>
        ([...counts].reduce((sum, [name, count]) => sum + (matches(name) ? count : 0), 0) / traced.requests).toFixed(3);
      const columns = Object.values(syscallColumns);
      const others = perRequest((name) => !columns.some((column) => column.test(name)));
      rows.push([peer.name, ...columns.map((column) => perRequest((name) => column.test(name))), others]);
    } catch (error) {
      progress(`  ${peer.name} is SKIPPED: ${(error as Error).message}`);
    }
    await leave(entry);
  }
  printTable(
    `syscalls: calls per request, ${traced.connections} connections, ${traced.messageBytes} bytes`,
    ["peer", ...Object.keys(syscallColumns), "others"],
    rows,
  );
}

const known = [...Object.keys(workloads), "idle", "syscalls"];
const names = positionals.length ? positionals : known;
const unknown = names.find((name) => !known.includes(name));
if (unknown) {
  console.error(`there is no workload ${unknown}; there are ${known.join(", ")}`);
  process.exit(2);
}
for (const name of names) {
  const load = workloads[name];
  if (load) await runEcho(name, load);
  else if (name === "idle") await runIdle();
  else await runSyscalls();
}
process.exit();
