import { dlopen, suffix } from "bun:ffi";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { NativeLibraryError } from "../errors.ts";
import { ABI_VERSION, STRUCT_SIZES, symbols } from "./abi.ts";

const packageRoot = join(import.meta.dir, "..", "..");
const fileName = process.platform === "win32" ? "asyncdispatch.dll" : `libasyncdispatch.${suffix}`;
const platform = `${process.platform}-${process.arch}`;

/** Where the library lies next to these sources; a clone's own build first, because it is never stale. */
const candidates = [
  join(packageRoot, "zig-out", process.platform === "win32" ? "bin" : "lib", fileName),
  join(packageRoot, "prebuilt", platform, fileName),
];

const HOW_TO_BUILD = `To build one: in a clone of asyncdispatch, \`bun run prepare\` for this machine, \`npx zig build -Dtarget=aarch64-linux\` and the like for another (Android: that of Linux, untested). Then name the file with the environment variable ASYNCDISPATCH_LIBRARY.`;

/** The functions of the native library. */
type NativeSymbols = ReturnType<typeof openSymbols>;

let loaded: NativeSymbols | undefined;

/**
 * The native library's functions; opened on the first call: `ASYNCDISPATCH_LIBRARY`, else what `zig build` left in a
 * clone, else the package's prebuilt file for this platform, else the one in the bundle that this code is part of.
 *
 * @throws NativeLibraryError whose `reason` and message say what is wrong and what to do
 */
export function loadLibrary(): NativeSymbols {
  loaded ??= openChecked(findLibrary());
  return loaded;
}

/** @throws NativeLibraryError with the reason `missing` */
function findLibrary(): string {
  const named = process.env.ASYNCDISPATCH_LIBRARY;
  if (named) {
    if (existsSync(named)) return named;
    throw new NativeLibraryError("missing", `ASYNCDISPATCH_LIBRARY names ${named}, which does not exist.`);
  }
  // A bundler puts this code into another file, from where the sources' neighbours are strangers.
  const isBundled = import.meta.file !== "library.ts";
  const found = isBundled ? bundledLibrary() : (candidates.find((path) => existsSync(path)) ?? bundledLibrary());
  if (found !== undefined) return found;
  const places = isBundled ? "This bundle has none." : `Looked for:\n  ${candidates.join("\n  ")}`;
  throw new NativeLibraryError("missing", `There is no native library for ${platform}. ${places}\n${HOW_TO_BUILD}`);
}

/** The library that `bun build` copied next to its output, or with `--compile` into the program. */
function bundledLibrary(): string | undefined {
  const copy = requireLibrary();
  if (copy === undefined) return undefined;
  const path = resolve(import.meta.dir, copy);
  return existsSync(path) ? path : undefined;
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

/** @throws NativeLibraryError with the reason `unloadable`, `ffi-disabled` or `wrong-version` */
function openChecked(path: string): NativeSymbols {
  // The version first: with another version, a symbol could be missing or mean something else.
  const { abi_version } = open(path, () => dlopen(path, { abi_version: symbols.abi_version }).symbols);
  const version = abi_version();
  if (version !== ABI_VERSION) throw wrongVersion(path, `version ${version}, this package needs ${ABI_VERSION}`);
  const library = open(path, () => openSymbols(path));
  for (const [which, [name, size]] of Object.entries(STRUCT_SIZES).entries()) {
    const actual = library.abi_struct_size(which);
    if (actual !== size) throw wrongVersion(path, `${name} of ${actual} bytes, this package needs ${size}`);
  }
  return library;
}

function openSymbols(path: string) {
  return dlopen(path, symbols).symbols;
}

function open<T>(path: string, attempt: () => T): T {
  try {
    return attempt();
  } catch (cause) {
    if (isFfiDisabled(cause)) {
      throw new NativeLibraryError(
        "ffi-disabled",
        "bun:ffi is disabled in this process, so no native library can be loaded. Start Bun without the option that disables it.",
        { cause },
      );
    }
    throw new NativeLibraryError(
      "unloadable",
      `${path} cannot be loaded on ${process.platform} ${process.arch} by Bun ${Bun.version}: ${
        cause instanceof Error ? cause.message : String(cause)
      }\n${HOW_TO_BUILD}`,
      { cause },
    );
  }
}

function isFfiDisabled(cause: unknown): boolean {
  const code = (cause as { code?: unknown } | null)?.code;
  return code === "ERR_FFI_DISABLED" || code === "ERR_DLOPEN_DISABLED";
}

function wrongVersion(path: string, difference: string): NativeLibraryError {
  return new NativeLibraryError("wrong-version", `${path} has another ABI: ${difference}. ${HOW_TO_BUILD}`);
}
