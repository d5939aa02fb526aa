import { readdirSync, rmdirSync, rmSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { isWine } from "./descriptors.ts";

/** Removes a folder with all that is in it: Bun's own way does not work under Wine. */
export function removeFolder(path: string): void {
  if (!isWine) {
    rmSync(path, { recursive: true, force: true });
    return;
  }
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) removeFolder(inner);
    else unlinkSync(inner);
  }
  rmdirSync(path);
}
