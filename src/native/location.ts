import { suffix } from "bun:ffi";

const platform = `${process.platform}-${process.arch}`;
const fileName = process.platform === "win32" ? "asyncdispatch.dll" : `libasyncdispatch.${suffix}`;

/**
 * Where the library lies beside these sources: a clone's own build first, because it is never stale. Nowhere in a
 * bundle, where this code is part of another file, whose neighbours are strangers.
 */
export const candidates =
  import.meta.file === "location.ts"
    ? [
        besideSources(`zig-out/${process.platform === "win32" ? "bin" : "lib"}/${fileName}`),
        besideSources(`prebuilt/${platform}/${fileName}`),
      ]
    : [];

function besideSources(path: string): string {
  return Bun.fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

/** As `existsSync` of `node:fs`, which takes longer to load than to open the library. */
export function isFile(path: string): boolean {
  return Bun.file(path).size > 0;
}

/** The path of the library for this platform, if there is one. */
export function locateLibrary(): string | undefined {
  return candidates.find(isFile) ?? bundledLibrary();
}

/** The library that `bun build` copied next to its output, or with `--compile` into the program. */
function bundledLibrary(): string | undefined {
  const copy = requireLibrary();
  if (copy === undefined) return undefined;
  const path = copy.startsWith(".") ? Bun.fileURLToPath(new URL(copy, import.meta.url)) : copy;
  return isFile(path) ? path : undefined;
}

/**
 * For Bun's bundler: it makes each of these calls give the path of a copy of the file; with `--compile`, it drops
 * those of other platforms. It would not see through a path that is put together, and outside of `try`, or in an
 * `import`, it would want every file to be there, as they are not in a clone.
 */
function requireLibrary(): string | undefined {
  try {
    if (process.platform === "linux") {
      if (process.arch === "x64") return require("../../prebuilt/linux-x64/libasyncdispatch.so");
      if (process.arch === "arm64") return require("../../prebuilt/linux-arm64/libasyncdispatch.so");
    }
    if (process.platform === "darwin") {
      if (process.arch === "x64") return require("../../prebuilt/darwin-x64/libasyncdispatch.dylib");
      if (process.arch === "arm64") return require("../../prebuilt/darwin-arm64/libasyncdispatch.dylib");
    }
    if (process.platform === "win32") {
      if (process.arch === "x64") return require("../../prebuilt/win32-x64/asyncdispatch.dll");
      if (process.arch === "arm64") return require("../../prebuilt/win32-arm64/asyncdispatch.dll");
    }
    if (process.platform === "freebsd") {
      if (process.arch === "x64") return require("../../prebuilt/freebsd-x64/libasyncdispatch.so");
      if (process.arch === "arm64") return require("../../prebuilt/freebsd-arm64/libasyncdispatch.so");
    }
  } catch {
    // There was no such file when the bundle was made.
  }
  return undefined;
}
