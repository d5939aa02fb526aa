import { release } from "node:os";
import { join } from "node:path";
import { WINE_NOISE } from "../scripts/foreign-bun.ts";
import { isWindows } from "./descriptors.ts";
import { isQemu } from "./qemu.ts";

const root = join(import.meta.dir, "..");

/** A file of this package as a script imports it: it holds nothing that would have to be escaped in a string. */
export function importPath(path: string): string {
  return join(root, path).replaceAll("\\", "/");
}

/** The command of a child that ends at once. */
export function exiting(exitCode: number): string[] {
  return [...(isWindows ? ["cmd", "/d", "/c"] : ["sh", "-c"]), `exit ${exitCode}`];
}

/** The command of a child that ends after a while. */
export function sleeping(ms: number): string[] {
  return isWindows ? [process.execPath, "-e", `setTimeout(() => {}, ${ms})`] : ["sleep", String(ms / 1000)];
}

const [major = 0, minor = 0] = release().split(".").map(Number);

/** Whether the system tells how a child ended that Bun has waited for: not before Linux 6.15, and not under qemu. */
export const tellsOfReaped = process.platform !== "linux" || (!isQemu && (major > 6 || (major === 6 && minor >= 15)));

/** What a child process printed, and how it ended. */
export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** What a program said on its standard error, without what Bun says there under Wine of its own files. */
export function withoutWine(stderr: Buffer | string): string {
  const lines = stderr.toString().split("\n");
  return lines.filter((line) => !line.startsWith(WINE_NOISE)).join("\n");
}

/** Runs a script, whose imports are relative to the package's root, in a Bun of its own. */
export function runScript(script: string, flags: string[] = [], env: Record<string, string> = {}): Outcome {
  return run([process.execPath, ...flags, "-e", script], env);
}

/** As {@link runScript}, in a process that may have `limit` descriptors; not on Windows. */
export function runLimited(limit: number, script: string, env: Record<string, string> = {}): Outcome {
  return run(["sh", "-c", `ulimit -n ${limit}; exec "$0" -e "$1"`, process.execPath, script], env);
}

function run(command: string[], env: Record<string, string>): Outcome {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, {
    cwd: root,
    env: { ...process.env, ...env },
    timeout: isQemu ? 60_000 : 15_000,
  });
  return { stdout: stdout.toString().trim(), stderr: withoutWine(stderr).trim(), exitCode };
}
