import { expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

test("the README's first program runs", async () => {
  const readme = await Bun.file(join(root, "README.md")).text();
  const [, program] = /```ts\n([\s\S]*?)```/.exec(readme) as unknown as [string, string];
  const path = join(root, "examples", `.readme-${process.pid}.ts`);
  writeFileSync(path, program);
  try {
    const child = Bun.spawn([process.execPath, path], { stdout: "pipe", stderr: "inherit", timeout: 10_000 });
    expect(await child.stdout.text()).toBe("a file was created\n");
    expect(await child.exited).toBe(0);
  } finally {
    rmSync(path);
  }
});
