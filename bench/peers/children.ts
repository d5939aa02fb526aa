// Starts children and waits for them all. Usage: children.ts <waitProcess|exited> <count>
// Prints {"elapsedNs", "cpuNs", "left"}: until every result is in; the processes and pidfds that are left in the end.
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { all, waitFor, waitProcess } from "../../src/index.ts";

const [, , how, count] = process.argv;

const start = (): Bun.Subprocess => Bun.spawn(["true"], { stdio: ["ignore", "ignore", "ignore"] });

async function runAll(total: number): Promise<Bun.Subprocess[]> {
  const children = Array.from({ length: total }, start);
  const codes =
    how === "waitProcess"
      ? waitFor(all(children.map(({ pid }) => waitProcess(pid)))).map(({ exitCode }) => exitCode)
      : await Promise.all(children.map(({ exited }) => exited));
  if (codes.some((code) => code !== 0)) throw new Error(`wrong exit codes: ${codes}`);
  return children;
}

function leftOver(): number {
  const children = readdirSync("/proc/self/task").flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, "latin1").split(" ").filter(Boolean),
  );
  const pidfds = readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes("pidfd");
    } catch {
      return false; // the descriptor that read the directory
    }
  });
  return children.length + pidfds.length;
}

await Promise.all((await runAll(Number(count))).map(({ exited }) => exited)); // a warm-up
const cpu = process.cpuUsage();
const startNs = Bun.nanoseconds();
const children = await runAll(Number(count));
const elapsedNs = Bun.nanoseconds() - startNs;
// Bun takes the status of its children itself, when its loop runs; that belongs to the costs.
await Promise.all(children.map(({ exited }) => exited));
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ elapsedNs, cpuNs: (user + system) * 1000, left: leftOver() }));
