import { closeSync, openSync } from "node:fs";
import { OSError } from "../errors.ts";
import { custody } from "./custody.ts";
import type { AsyncFD } from "./selector.ts";
import { errno, socket as native, succeeded } from "./socket.ts";

/**
 * Whether the native library opens and closes files, so that none is left of a Worker that is terminated meanwhile.
 * Elsewhere Bun does, and one may be.
 */
export const hasNativeFiles = process.platform === "linux";

/**
 * Opens a file that children do not inherit.
 *
 * @param flags those of `node:fs`
 * @throws OSError with the path
 */
export function openFile(path: string, flags: number, permissions: number): AsyncFD {
  if (!hasNativeFiles) return openByBun(path, flags, permissions);
  const bytes = Buffer.from(`${path}\0`);
  return succeeded(native.file_open(custody.pointer, bytes, bytes, flags, permissions), "open", { path }) as AsyncFD;
}

function openByBun(path: string, flags: number, permissions: number): AsyncFD {
  for (;;) {
    try {
      return openSync(path, flags, permissions) as AsyncFD;
    } catch (error) {
      const { errno: code } = error as { errno?: unknown };
      if (typeof code !== "number") throw error;
      if (-code !== errno.EINTR) throw new OSError(-code, "open", { path });
    }
  }
}

/** Closes a file that is registered nowhere. @throws OSError `EBADF` */
export function closeFile(fd: AsyncFD): void {
  if (hasNativeFiles) succeeded(native.descriptor_close(custody.pointer, fd), "close");
  else closeSync(fd);
}
