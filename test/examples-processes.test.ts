import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isWindows } from "./descriptors.ts";

const root = join(import.meta.dir, "..");
const started: Bun.Subprocess[] = [];

afterEach(async () => {
  for (const child of started.splice(0)) {
    child.kill("SIGKILL");
    await child.exited;
  }
});

/** Starts an example, and gives the lines that it prints one by one. */
function startExample(name: string, args: string[], env: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, "run", `examples/${name}`, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  started.push(child);
  return { child, lines: linesOf(child.stdout) };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of stream) {
    text += decoder.decode(part, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() as string;
    yield* lines;
  }
  return undefined;
}

/** The next line, which must be like this one. */
async function expectLine(lines: AsyncGenerator<string, undefined>, pattern: RegExp): Promise<RegExpMatchArray> {
  const { value } = await lines.next();
  expect(value ?? "the end of the output").toMatch(pattern);
  return (value as string).match(pattern) as RegExpMatchArray;
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
    const { child, lines } = startExample("supervisor.ts", ["sh", "-c", "exit 3"], QUICK);
    await expectLine(lines, /^supervising sh -c exit 3$/);
    const pids = new Set<string>();
    for (const delay of [10, 20, 40, 40, 40]) {
      const [, pid] = await expectLine(lines, /^child (\d+) started$/);
      pids.add(pid as string);
      await expectLine(lines, new RegExp(`^child ${pid} ended with code 3$`));
      await expectLine(lines, new RegExp(`^starting it again in ${delay} ms$`));
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
      const { child, lines } = startExample("supervisor.ts", ["sleep", "1000"], QUICK);
      await expectLine(lines, /^supervising/);
      const [, pid] = await expectLine(lines, /^child (\d+) started$/);
      child.kill(signal);
      await expectLine(lines, new RegExp(`^${signal}: stopping$`));
      await expectLine(lines, new RegExp(`^child ${pid} ended by SIGTERM$`));
      await expectLine(lines, /^stopped$/);
      expect(await child.exited).toBe(0);
    },
  );
}

test.skipIf(isWindows)(
  "supervisor.ts stops while it waits to start the child again (skipped on Windows, which has no signals)",
  async () => {
    const { child, lines } = startExample("supervisor.ts", ["false"], { SUPERVISOR_DELAY: "100000" });
    await expectLine(lines, /^supervising/);
    await expectLine(lines, /started$/);
    await expectLine(lines, /ended with code 1$/);
    await expectLine(lines, /^starting it again in 100000 ms$/);
    child.kill("SIGTERM");
    await expectLine(lines, /^SIGTERM: stopping$/);
    await expectLine(lines, /^stopped$/);
    expect(await child.exited).toBe(0);
  },
);

test("supervisor.ts without a command says how it is used", async () => {
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, "run", "examples/supervisor.ts"], { cwd: root });
  expect(`${stderr}`).toContain("usage: bun run examples/supervisor.ts <command>");
  expect(exitCode).toBe(2);
});

for (const workers of ["1", "4"]) {
  test(`worker-pool.ts counts the primes with ${workers} Workers`, async () => {
    const { child, lines } = startExample("worker-pool.ts", ["20000", workers]);
    await expectLine(lines, new RegExp(`^2262 primes below 20000, in 64 pieces, by ${workers} Workers$`));
    const [, wakeUps] = await expectLine(lines, /^the main thread was woken (\d+) times$/);
    expect(Number(wakeUps)).toBeGreaterThan(0);
    expect(Number(wakeUps)).toBeLessThanOrEqual(64);
    expect(await child.exited).toBe(0);
  });
}
