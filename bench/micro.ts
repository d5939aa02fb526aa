// What the parts cost on their own, without a network. Usage: bun bench/micro.ts
import { bench, group, run } from "mitata";
import { all, async, callSoon, type Future, newFuture, poll, sleepAsync, waitFor } from "../src/index.ts";
import { TimerQueue } from "../src/timers.ts";

group("futures", () => {
  bench("create, addCallback, complete, poll", () => {
    const future = newFuture<number>();
    future.addCallback(() => {});
    future.complete(1);
    poll(0);
  });
  bench("the same with a promise, without a loop", async () => {
    await new Promise((resolve) => resolve(1));
  });
  bench("all of 10", () => {
    const futures = Array.from({ length: 10 }, () => newFuture<number>());
    const together = all(futures);
    for (const future of futures) future.complete(1);
    waitFor(together);
  });
});

const chain: (depth: number) => Future<number> = async(function* (depth: number) {
  if (depth > 0) return 1 + (yield* chain(depth - 1));
  yield* sleepAsync(0);
  return 0;
});

group("procedures", () => {
  bench("100 nested procedures, suspended once", () => waitFor(chain(100)));
});

group("timers", () => {
  const heap = new TimerQueue();
  const target = { complete() {}, fail() {} };
  for (let i = 0; i < 10_000; i++) heap.add(i, target);
  let deadline = 0;
  bench("add and cancel among 10,000", () => {
    deadline = (deadline * 7919 + 13) % 10_000;
    heap.cancel(heap.add(deadline, target));
  });
});

group("the loop", () => {
  bench("callSoon and poll", () => {
    callSoon(() => {});
    poll(0);
  });
});

await run();
