import { afterEach, expect, test } from "bun:test";
import { connect } from "node:net";
import { startExample } from "./example-process.ts";

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Starts the example, and gives the address that it prints. */
async function startServer(): Promise<URL> {
  const [address] = await startExample("prometheus.ts").output.until(/http:\S+(?=\n)/);
  return new URL(address);
}

/** How many futures of a procedure the metrics say are pending. */
async function pendingOf(address: URL, procedure: string): Promise<number> {
  const text = await (await fetch(address)).text();
  const sample = new RegExp(`^asyncdispatch_futures_in_progress\\{from_proc="${procedure}"\\} (\\d+)$`, "m").exec(text);
  return Number(sample?.[1] ?? 0);
}

/** Sends a request for work and does not wait for its end. */
async function askForWork({ hostname, port }: URL): Promise<void> {
  const socket = connect(Number(port), hostname);
  cleanups.push(() => socket.destroy());
  socket.on("error", () => undefined);
  await new Promise<void>((resolve) => socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n", () => resolve()));
}

test("prometheus.ts tells which procedures are pending, and the statistics of the loop", async () => {
  const address = await startServer();
  expect(await pendingOf(address, "work")).toBe(0);
  for (let i = 0; i < 3; i++) await askForWork(address);
  // What has been sent is there, but another scrape may be answered first.
  const giveUp = performance.now() + 4000;
  while ((await pendingOf(address, "work")) < 3 && performance.now() < giveUp);
  expect(await pendingOf(address, "work")).toBe(3);
  expect(await pendingOf(address, "acceptClients")).toBe(1);
  expect(await (await fetch(address)).text()).toMatch(/^asyncdispatch_polls_total [1-9]\d*$/m);
});
