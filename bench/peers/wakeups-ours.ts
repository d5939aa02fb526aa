// As wakeups.c, with AsyncEvents between this thread and a Worker. Usage: wakeups-ours.ts <ping-pong|one-way> <count>
import { isMainThread, Worker, workerData } from "node:worker_threads";
import {
  AsyncEvent,
  type AsyncEventToken,
  addEvent,
  type Future,
  newAsyncEvent,
  newFuture,
  waitFor,
} from "../../src/index.ts";

/** Places in the shared numbers: what was sent, and what is to be sent in this part. */
const SENT = 0;
const TOTAL = 1;

type Task = { near: AsyncEventToken; far: AsyncEventToken; shared: SharedArrayBuffer; oneWay: boolean; parts: number };

function runFar({ near, far, shared, oneWay, parts }: Task): void {
  const numbers = new Int32Array(shared);
  const ping = AsyncEvent.from(far);
  const pong = AsyncEvent.from(near);
  const ended = newFuture();
  let left = parts;
  let received = 0;
  addEvent(ping, () => {
    received += 1;
    const isLast = (oneWay ? Atomics.load(numbers, SENT) : received) === Atomics.load(numbers, TOTAL);
    if (isLast) {
      received = 0;
      left -= 1;
      if (left === 0) ended.complete();
    }
    if (isLast || !oneWay) pong.trigger();
    return left === 0;
  });
  pong.trigger(); // ready
  waitFor(ended);
}

async function runNear(oneWay: boolean, count: number): Promise<void> {
  const numbers = new Int32Array(new SharedArrayBuffer(8));
  const pong = newAsyncEvent();
  const ping = newAsyncEvent();
  let woken: () => boolean = () => true;
  addEvent(pong, () => woken());
  const until = (wake: (done: Future<void>) => boolean): void => {
    const done = newFuture();
    woken = () => wake(done);
    waitFor(done);
  };
  const onePong = (done: Future<void>): boolean => {
    done.complete();
    return false;
  };
  const task: Task = { near: pong.token, far: ping.token, shared: numbers.buffer, oneWay, parts: 2 };
  const worker = new Worker(import.meta.path, { workerData: task });
  until(onePong);

  const part = (total: number): void => {
    Atomics.store(numbers, SENT, 0);
    Atomics.store(numbers, TOTAL, total);
    if (oneWay) {
      for (let i = 1; i <= total; i++) {
        Atomics.store(numbers, SENT, i);
        ping.trigger();
      }
      until(onePong);
      return;
    }
    let left = total;
    ping.trigger();
    until((done) => {
      left -= 1;
      if (left > 0) ping.trigger();
      else done.complete();
      return false;
    });
  };
  part(count / 10);
  const cpu = process.cpuUsage();
  const start = Bun.nanoseconds();
  part(count);
  const elapsedNs = Bun.nanoseconds() - start;
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ elapsedNs, cpuNs: (user + system) * 1000 }));
  await worker.terminate();
  process.exit();
}

if (isMainThread) await runNear(process.argv[2] === "one-way", Number(process.argv[3]));
else runFar(workerData as Task);
