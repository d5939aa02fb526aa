// What the tests need to run with the Bun of another platform: packages of Debian, that Bun, and a look at the outcome.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dir, "..");
const cache = join(root, "node_modules/.cache/asyncdispatch");

/** A folder that is kept for the next time. */
export function cacheFolder(name: string): string {
  const folder = join(cache, name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** With the environment as it is now. @throws when the command fails, after its output */
export function run(command: string[], cwd = root): void {
  const { exitCode, signalCode } = Bun.spawnSync(command, {
    cwd,
    env: process.env,
    stdout: "inherit",
    stderr: "inherit",
  });
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${signalCode ?? `exit code ${exitCode}`}`);
}

/** Installs packages of Debian that are missing. */
export function installPackages(...names: string[]): void {
  const missing = names.filter((name) => !/^ii /m.test(`${Bun.spawnSync(["dpkg", "--list", name]).stdout}`));
  if (missing.length === 0) return;
  console.log(`installing ${missing.join(", ")}`);
  run(["apt-get", "update", "-qq"]);
  run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", ...missing]);
}

/** The Bun of another platform, of the version that runs this: `linux-x64-musl` and the like. */
export function installBun(platform: string): string {
  const folder = cacheFolder(`bun-${Bun.version}-${platform}`);
  const file = platform.startsWith("windows") ? "bun.exe" : "bun";
  const executable = join(folder, `node_modules/@oven/bun-${platform}/bin/${file}`);
  if (!existsSync(executable)) {
    writeFileSync(join(folder, "package.json"), "{}");
    const name = `@oven/bun-${platform}@${Bun.version}`;
    // Whatever this machine is: the package says that it is for another one.
    run([process.execPath, "add", "--os=*", "--cpu=*", "--ignore-scripts", "--no-save", name], folder);
  }
  return executable;
}

/**
 * Runs the tests with the given command, variables and flags, and shows all but those that pass. In the end it names
 * what was skipped, as the reasons are in the names, and says how many tests there were.
 */
export async function runSuite(command: string[], env: Record<string, string>, flags: string[] = []): Promise<never> {
  const start = performance.now();
  const tests = [...command, "test", ...flags];
  console.log(`$ ${tests.join(" ")}`);
  const child = Bun.spawn(tests, { cwd: root, env: { ...process.env, ...env }, stdout: "pipe", stderr: "pipe" });
  const seen: Seen = { skipped: new Set(), counts: { pass: 0, fail: 0, skip: 0 }, isInPassed: false };
  await Promise.all([follow(child.stdout, seen), follow(child.stderr, seen)]);
  const code = await child.exited;
  const { skipped, counts } = seen;
  console.log(skipped.size === 0 ? "\nNothing was skipped." : `\nSkipped:\n  ${[...skipped].join("\n  ")}`);
  const seconds = Math.round((performance.now() - start) / 1000);
  console.log(`\n${counts.pass} passed, ${counts.fail} failed, ${counts.skip} skipped, in ${seconds} s`);
  // A Bun that crashes may call that 0.
  process.exit(counts.pass === 0 || counts.fail > 0 ? 1 : code);
}

/** What the output says of the tests. */
interface Seen {
  readonly skipped: Set<string>;
  readonly counts: Record<"pass" | "fail" | "skip", number>;
  /** In the midst of the name of a test that passed, in which an object is written on several lines. */
  isInPassed: boolean;
}

async function follow(stream: ReadableStream<Uint8Array>, seen: Seen): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const part of stream) {
    const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
    rest = lines.pop() as string;
    for (const line of lines) show(line, seen);
  }
  if (rest !== "") show(rest, seen);
}

/** What begins a line that Bun says under Wine of every package.json. */
export const WINE_NOISE = "Internal error: directory mismatch ";

function show(line: string, seen: Seen): void {
  const { skipped, counts } = seen;
  if (line.startsWith(WINE_NOISE)) return;
  const isOfPassed = seen.isInPassed || line.startsWith("(pass) ");
  seen.isInPassed = seen.isInPassed ? !/^[}\]]/.test(line) : isOfPassed && /[{[]$/.test(line);
  if (isOfPassed) return;
  const [, count, kind] = line.match(/^ *(\d+) (pass|fail|skip)$/) ?? [];
  if (kind !== undefined) counts[kind as keyof Seen["counts"]] += Number(count);
  if (line.startsWith("(skip) ")) skipped.add(line.slice("(skip) ".length));
  else console.log(line);
}
