import { dlopen, suffix } from "bun:ffi";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { NativeLibraryError } from "../errors.ts";
import { ABI_VERSION, STRUCT_SIZES, symbols } from "./abi.ts";

const packageRoot = join(import.meta.dir, "..", "..");
const fileName = process.platform === "win32" ? "asyncdispatch.dll" : `libasyncdispatch.${suffix}`;
const platform = `${process.platform}-${process.arch}`;

/** Where the library is looked for when `ASYNCDISPATCH_LIBRARY` does not name it, in this order. */
const candidates = [
  join(packageRoot, "prebuilt", platform, fileName),
  join(packageRoot, "zig-out", process.platform === "win32" ? "bin" : "lib", fileName),
];

const HOW_TO_BUILD =
  "In a clone of asyncdispatch, `bun run prepare` builds it; elsewhere, name a library with the environment variable ASYNCDISPATCH_LIBRARY.";

/** The functions of the native library. */
type NativeSymbols = ReturnType<typeof openSymbols>;

let loaded: NativeSymbols | undefined;

/**
 * The native library's functions; opened on the first call: `ASYNCDISPATCH_LIBRARY`, else the package's
 * prebuilt file for this platform, else what `zig build` left in `zig-out`.
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
  const found = candidates.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new NativeLibraryError(
    "missing",
    `There is no native library for ${platform}. Looked for:\n  ${candidates.join("\n  ")}\n${HOW_TO_BUILD}`,
  );
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
