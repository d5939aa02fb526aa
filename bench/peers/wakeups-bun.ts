// As wakeups.c, with postMessage between this thread and a Worker. Usage: wakeups-bun.ts <ping-pong|one-way> <count>
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

type Task = { oneWay: boolean; parts: number[] };

function runFar({ oneWay, parts }: Task): void {
  let part = 0;
  let received = 0;
  parentPort?.on("message", (message) => {
    received += 1;
    const isLast = received === parts[part];
    if (isLast) {
      received = 0;
      part += 1;
    }
    if (isLast || !oneWay) parentPort?.postMessage(message);
  });
  parentPort?.postMessage(0); // ready
}

async function runNear(oneWay: boolean, count: number): Promise<void> {
  const task: Task = { oneWay, parts: [count / 10, count] };
  const worker = new Worker(import.meta.path, { workerData: task });
  let onMessage: () => void = () => {};
  worker.on("message", () => onMessage());
  const oneMessage = () => new Promise<void>((resolve) => (onMessage = resolve));
  await oneMessage();

  const part = async (total: number): Promise<void> => {
    if (oneWay) {
      for (let i = 0; i < total; i++) worker.postMessage(i);
      return oneMessage();
    }
    let left = total;
    const { promise, resolve } = Promise.withResolvers<void>();
    onMessage = () => {
      left -= 1;
      if (left > 0) worker.postMessage(left);
      else resolve();
    };
    worker.postMessage(left);
    return promise;
  };
  await part(count / 10);
  const cpu = process.cpuUsage();
  const start = Bun.nanoseconds();
  await part(count);
  const elapsedNs = Bun.nanoseconds() - start;
  const { user, system } = process.cpuUsage(cpu);
  console.log(JSON.stringify({ elapsedNs, cpuNs: (user + system) * 1000 }));
  await worker.terminate();
  process.exit();
}

if (isMainThread) await runNear(process.argv[2] === "one-way", Number(process.argv[3]));
else runFar(workerData as Task);
