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
  const missing = names.filter((name) => !Bun.spawnSync(["dpkg", "--status", name]).success);
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
 * Runs the tests with the given command and variables, and shows all but those that pass. In the end it names what was
 * skipped, as the reasons are in the names.
 */
export async function runSuite(command: string[], env: Record<string, string>): Promise<never> {
  console.log(`$ ${command.join(" ")} test`);
  const child = Bun.spawn([...command, "test"], {
    cwd: root,
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const skipped = new Set<string>();
  await Promise.all([follow(child.stdout, skipped), follow(child.stderr, skipped)]);
  const code = await child.exited;
  console.log(skipped.size === 0 ? "\nNothing was skipped." : `\nSkipped:\n  ${[...skipped].join("\n  ")}`);
  process.exit(code);
}

async function follow(stream: ReadableStream<Uint8Array>, skipped: Set<string>): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const part of stream) {
    const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
    rest = lines.pop() as string;
    for (const line of lines) show(line, skipped);
  }
  if (rest !== "") show(rest, skipped);
}

/** What Bun says under Wine of every package.json. */
const NOISE = "Internal error: directory mismatch ";

function show(line: string, skipped: Set<string>): void {
  if (line.startsWith(NOISE)) return;
  if (line.startsWith("(skip) ")) skipped.add(line.slice("(skip) ".length));
  else if (!line.startsWith("(pass) ")) console.log(line);
}
