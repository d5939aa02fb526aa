import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isWindows } from "./descriptors.ts";
import { exampleCommand, startExample, type Transcript } from "./example-process.ts";

const root = join(import.meta.dir, "..");

/** The next line, which must be like this one. */
async function expectLine(output: Transcript, pattern: RegExp): Promise<RegExpMatchArray> {
  const line = await output.nextLine();
  expect(line ?? "the end of the output").toMatch(pattern);
  return (line as string).match(pattern) as RegExpMatchArray;
}

const QUICK = { SUPERVISOR_DELAY: "10", SUPERVISOR_MAX_DELAY: "40" };

/** The children of a process that have ended and that it has not waited for. */
function zombiesOf(pid: number): string[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ").filter(Boolean);
  return children.filter((child) => {
    try {
      return /\) Z/.test(readFileSync(`/proc/${child}/stat`, "latin1"));
    } catch {
      return false; // waited for meanwhile
    }
  });
}

test.skipIf(isWindows)(
  "supervisor.ts starts a crashing child again, later each time up to a limit, and leaves no dead one behind (skipped on Windows, which has no signals)",
  async () => {
    const { child, output } = startExample("supervisor.ts", ["sh", "-c", "exit 3"], QUICK);
    await expectLine(output, /^supervising sh -c exit 3$/);
    const pids = new Set<string>();
    for (const delay of [10, 20, 40, 40, 40]) {
      const [, pid] = await expectLine(output, /^child (\d+) started$/);
      pids.add(pid as string);
      await expectLine(output, new RegExp(`^child ${pid} ended with code 3$`));
      await expectLine(output, new RegExp(`^starting it again in ${delay} ms$`));
    }
    expect(pids.size).toBe(5);
    // The last one may just have ended.
    expect(zombiesOf(child.pid).length).toBeLessThanOrEqual(1);
  },
);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test.skipIf(isWindows)(
    `supervisor.ts stops its child and itself on ${signal} (skipped on Windows, which has no signals)`,
    async () => {
      const { child, output } = startExample("supervisor.ts", ["sleep", "1000"], QUICK);
      await expectLine(output, /^supervising/);
      const [, pid] = await expectLine(output, /^child (\d+) started$/);
      child.kill(signal);
      await expectLine(output, new RegExp(`^${signal}: stopping$`));
      await expectLine(output, new RegExp(`^child ${pid} ended by SIGTERM$`));
      await expectLine(output, /^stopped$/);
      expect(await child.exited).toBe(0);
    },
  );
}

test.skipIf(isWindows)(
  "supervisor.ts stops while it waits to start the child again (skipped on Windows, which has no signals)",
  async () => {
    const { child, output } = startExample("supervisor.ts", ["false"], { SUPERVISOR_DELAY: "100000" });
    await expectLine(output, /^supervising/);
    await expectLine(output, /started$/);
    await expectLine(output, /ended with code 1$/);
    await expectLine(output, /^starting it again in 100000 ms$/);
    child.kill("SIGTERM");
    await expectLine(output, /^SIGTERM: stopping$/);
    await expectLine(output, /^stopped$/);
    expect(await child.exited).toBe(0);
  },
);

test("supervisor.ts without a command says how it is used", async () => {
  const { exitCode, stderr } = Bun.spawnSync(exampleCommand("supervisor.ts"), { cwd: root });
  expect(`${stderr}`).toContain("usage: bun run examples/supervisor.ts <command>");
  expect(exitCode).toBe(2);
});

for (const workers of ["1", "4"]) {
  test(`worker-pool.ts counts the primes with ${workers} Workers`, async () => {
    const { child, output } = startExample("worker-pool.ts", ["20000", workers]);
    await expectLine(output, new RegExp(`^2262 primes below 20000, in 64 pieces, by ${workers} Workers$`));
    const [, wakeUps] = await expectLine(output, /^the main thread was woken (\d+) times$/);
    expect(Number(wakeUps)).toBeGreaterThan(0);
    expect(Number(wakeUps)).toBeLessThanOrEqual(64);
    expect(await child.exited).toBe(0);
  });
}
