import { heapStats } from "bun:jsc";
import { expect, test } from "bun:test";
import {
  type AsyncFD,
  accept,
  async,
  asyncCheck,
  closeSocket,
  dial,
  getGlobalDispatcher,
  newFuture,
  poll,
  recv,
  send,
  waitFor,
  withTimeout,
} from "../src/index.ts";
import { isWine, listener, millisecondsOf, onEachBackend } from "./backends.ts";
import { changedSince, openDescriptors } from "./descriptors.ts";

const BATCH = 1000;
/** Fewer under Wine, where each connection takes 2 ms. */
const CONNECTIONS = isWine ? 300 : BATCH;
const CONCURRENT = 20;

const serve = async(function* (client: AsyncFD) {
  for (;;) {
    const data = yield* recv(client, 4096);
    if (data.length === 0) break;
    yield* send(client, data);
  }
  closeSocket(client);
});

const serveAll = async(function* (server: AsyncFD) {
  for (;;) asyncCheck(serve(yield* accept(server)));
});

const talk = async(function* (port: number, count: number) {
  for (let i = 0; i < count; i++) {
    const socket = yield* dial("127.0.0.1", port);
    yield* send(socket, "ping");
    yield* recv(socket, 4096);
    closeSocket(socket);
  }
});

function connectBatch(port: number): void {
  const clients = Array.from({ length: CONCURRENT }, () => talk(port, CONNECTIONS / CONCURRENT));
  for (const client of clients) waitFor(client);
  // The listener is left once the server has seen every client go.
  while (getGlobalDispatcher().statistics().descriptors > 1) poll();
}

/** What is alive after a collection. */
function liveObjects(): number {
  Bun.gc(true);
  return heapStats().objectCount;
}

onEachBackend(() => {
  test("connections that are over leave no object, descriptor or watch behind", () => {
    const { socket, port } = listener();
    serveAll(socket).addCallback(() => {});
    for (let i = 0; i < 3; i++) connectBatch(port);
    const objects = liveObjects();
    const descriptors = openDescriptors();
    for (let i = 0; i < 3; i++) connectBatch(port);
    // Far below one object per connection.
    expect(liveObjects() - objects).toBeLessThan(CONNECTIONS / 5);
    expect(changedSince(descriptors)).toEqual([]);
  }, 30_000);

  test("R17: withTimeout in a loop leaves no timer and no object behind", () => {
    const round = (): void => {
      for (let i = 0; i < BATCH; i++) {
        const future = newFuture();
        const inTime = withTimeout(future, 60_000);
        future.complete();
        expect(waitFor(inTime)).toBe(true);
      }
    };
    for (let i = 0; i < 3; i++) round();
    const objects = liveObjects();
    const elapsedMs = millisecondsOf(() => {
      for (let i = 0; i < 3; i++) round();
    });
    // Below one object per future, of which there were three times as many, beside the bucket of timers that a
    // millisecond has until it is due.
    expect(liveObjects() - objects).toBeLessThan(BATCH / 2 + 4 * elapsedMs);
    expect(getGlobalDispatcher().statistics().pendingTimers).toBe(0);
  });
});
