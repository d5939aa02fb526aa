// An echo server of this library and Bun.serve in one thread, each saturated: what is left to each of what it serves
// alone. Usage: bun bench/fairness.ts [--rounds=5]
import { parseArgs } from "node:util";
import {
  type Client,
  formatCount,
  median,
  medianRatio,
  printTable,
  progress,
  startClient,
  startServer,
} from "./driver.ts";

const windowMs = 1000;
const load = { connections: 50, messageBytes: 64, requests: 5000 };

const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
const rounds = Math.max(Number(values.rounds) || 1, 1);

// Requests per second of one load after another, until the window is over.
async function rate(client: Client): Promise<number> {
  const end = performance.now() + windowMs;
  let requests = 0;
  let elapsedNs = 0;
  while (performance.now() < end) {
    const result = await client.run();
    requests += result.requests;
    elapsedNs += result.elapsedNs;
  }
  return (requests * 1e9) / elapsedNs;
}

const server = await startServer([process.execPath, "peers/fairness.ts"]);
const httpPort = Number((await server.nextLine())?.match(/^http port (\d+)$/)?.[1]);
const echo = await startClient(server.port, { ...load, mode: "echo" });
const http = await startClient(httpPort, { ...load, mode: "http" });

const alone = { echo: [] as number[], http: [] as number[] };
const together = { echo: [] as number[], http: [] as number[] };
for (let round = 1; round <= rounds; round++) {
  progress(`round ${round} of ${rounds}`);
  alone.echo.push(await rate(echo));
  alone.http.push(await rate(http));
  const [echoRate, httpRate] = await Promise.all([rate(echo), rate(http)]);
  together.echo.push(echoRate);
  together.http.push(httpRate);
}

const row = (name: string, before: number[], after: number[]) => [
  name,
  formatCount(median(before)),
  formatCount(median(after)),
  medianRatio(after, before).toFixed(2),
];
printTable(
  `fairness: ${load.connections} connections each, ${rounds} rounds`,
  ["server", "requests/s alone", "with the other", "share kept"],
  [row("this library, hosted", alone.echo, together.echo), row("Bun.serve", alone.http, together.http)],
);
for (const child of [echo, http, server]) await child.stop();
process.exit();
