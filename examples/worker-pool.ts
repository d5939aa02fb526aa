// A pool of Workers that count primes. One event wakes a Worker for each piece of work, another the main thread for
// each result: neither side asks again and again, and no message goes through Bun's loop.
//
//   bun run examples/worker-pool.ts [limit] [workers]
import { once } from "node:events";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { AsyncEvent, type AsyncEventToken, addEvent, newAsyncEvent, newFuture } from "asyncdispatch";

const PIECE_COUNT = 64;
/** Places in the shared memory; the results of the pieces follow. */
const NEXT = 0;
const DONE = 1;
const RESULTS = 2;

interface Job {
  readonly shared: SharedArrayBuffer;
  readonly limit: number;
  readonly work: AsyncEventToken;
  readonly results: AsyncEventToken;
}

function countPrimes(from: number, to: number): number {
  let count = 0;
  for (let n = Math.max(from, 2); n < to; n++) {
    let isPrime = true;
    for (let d = 2; d * d <= n && isPrime; d++) isPrime = n % d !== 0;
    if (isPrime) count += 1;
  }
  return count;
}

/** A Worker sleeps until it is the one that the event wakes, wakes the next, and counts one piece. */
async function runWorker({ shared, limit, work, results }: Job): Promise<void> {
  const memory = new Int32Array(shared);
  using woken = AsyncEvent.from(work);
  using counted = AsyncEvent.from(results);
  const ended = newFuture("runWorker");
  addEvent(woken, () => {
    const piece = Atomics.add(memory, NEXT, 1);
    // Triggers that come together are one, so whoever is woken wakes the next, also to learn that nothing is left.
    woken.trigger();
    if (piece >= PIECE_COUNT) {
      ended.complete();
      return true;
    }
    const size = Math.ceil(limit / PIECE_COUNT);
    Atomics.store(memory, RESULTS + piece, countPrimes(piece * size, Math.min((piece + 1) * size, limit)));
    Atomics.add(memory, DONE, 1);
    counted.trigger();
    return false;
  });
  await ended;
}

async function runPool(limit: number, workerCount: number): Promise<void> {
  const shared = new SharedArrayBuffer(4 * (RESULTS + PIECE_COUNT));
  const memory = new Int32Array(shared);
  using work = newAsyncEvent();
  using results = newAsyncEvent();
  const workers = Array.from({ length: workerCount }, () => {
    const job: Job = { shared, limit, work: work.token, results: results.token };
    return new Worker(import.meta.path, { workerData: job });
  });
  // From now on: one may end before the last result is seen.
  const exits = workers.map((worker) => once(worker, "exit"));

  const finished = newFuture("runPool");
  let wakeUps = 0;
  addEvent(results, () => {
    wakeUps += 1;
    // Several results may have become one trigger, hence the count.
    if (Atomics.load(memory, DONE) < PIECE_COUNT) return false;
    finished.complete();
    return true;
  });
  work.trigger(); // also for Workers that are not ready yet: it is remembered
  await finished;

  const primes = memory.subarray(RESULTS).reduce((sum, count) => sum + count, 0);
  console.log(`${primes} primes below ${limit}, in ${PIECE_COUNT} pieces, by ${workerCount} Workers`);
  console.log(`the main thread was woken ${wakeUps} times`);
  await Promise.all(exits);
}

if (isMainThread) await runPool(Number(process.argv[2] ?? 200_000), Number(process.argv[3] ?? 2));
else await runWorker(workerData as Job);
