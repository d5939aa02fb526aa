import { expect, test } from "bun:test";
import { join } from "node:path";
import { findZig } from "../scripts/build-native.ts";
import { hasCompiler } from "./compiler.ts";

const root = join(import.meta.dir, "..");

test.skipIf(!hasCompiler)(
  "the Zig suite passes (skipped without a compiler)",
  async () => {
    const command = [findZig(), "build", "test", "--summary", "all"];
    const child = Bun.spawn(command, { cwd: root, stdout: "pipe", stderr: "pipe" });
    const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    const output = `${stdout}${stderr}`;
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 });
    const [, passed, all] = output.match(/(\d+)\/(\d+) tests passed/) ?? [];
    expect({ passed, output }).not.toMatchObject({ passed: undefined });
    expect(passed).toBe(all as string);
    expect(Number(passed)).toBeGreaterThan(0);
    console.log(`Zig: ${passed}/${all} tests passed`);
  },
  180_000,
);
