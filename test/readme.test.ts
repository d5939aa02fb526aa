import { expect, test } from "bun:test";
import { join } from "node:path";
import { isWindows } from "./descriptors.ts";

const root = join(import.meta.dir, "..");

test.skipIf(isWindows)("the README's first program runs (skipped on Windows: it is of Linux)", async () => {
  const readme = await Bun.file(join(root, "README.md")).text();
  const [, program] = /```ts\n([\s\S]*?)```/.exec(readme) as unknown as [string, string];
  const command = [process.execPath, "--no-install", "-e", program];
  const child = Bun.spawn(command, { cwd: root, stdout: "pipe", stderr: "inherit", timeout: 10_000 });
  expect(await child.stdout.text()).toBe("a file was created\n");
  expect(await child.exited).toBe(0);
});
