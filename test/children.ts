import { join } from "node:path";

const root = join(import.meta.dir, "..");

/** What a child process printed, and how it ended. */
export interface Outcome {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** What a program said on its standard error, without what Bun says there under Wine of its own files. */
export function withoutWine(stderr: Buffer | string): string {
  return stderr.toString().replace(/^Internal error: directory mismatch .*\n/gm, "");
}

/** Runs a script, whose imports are relative to the package's root, in a Bun of its own. */
export function runScript(script: string, flags: string[] = [], env: Record<string, string> = {}): Outcome {
  const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, ...flags, "-e", script], {
    cwd: root,
    env: { ...process.env, ...env },
    timeout: 15_000,
  });
  return { stdout: stdout.toString().trim(), stderr: withoutWine(stderr).trim(), exitCode };
}
