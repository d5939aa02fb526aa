import { dlopen } from "bun:ffi";
import { NativeLibraryError } from "../errors.ts";
import { ABI_VERSION, STRUCT_SIZES, symbols } from "./abi.ts";
import { candidates, isFile, locateLibrary } from "./location.ts";

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
    if (isFile(named)) return named;
    throw new NativeLibraryError("missing", `ASYNCDISPATCH_LIBRARY names ${named}, which does not exist.`);
  }
  const found = locateLibrary();
  if (found !== undefined) return found;
  const places = candidates.length > 0 ? `Looked for:\n  ${candidates.join("\n  ")}` : "This bundle has none.";
  throw new NativeLibraryError(
    "missing",
    `There is no native library for ${process.platform}-${process.arch}. ${places}\n${HOW_TO_BUILD}`,
  );
}

/** @throws NativeLibraryError with the reason `unloadable`, `ffi-disabled` or `wrong-version` */
function openChecked(path: string): NativeSymbols {
  const library = open(path);
  requireVersion(path, library.abi_version());
  for (const [which, [name, size]] of Object.entries(STRUCT_SIZES).entries()) {
    const actual = library.abi_struct_size(which);
    if (actual !== size) throw wrongVersion(path, `${name} of ${actual} bytes, this package needs ${size}`);
  }
  return library;
}

function open(path: string): NativeSymbols {
  try {
    return openSymbols(path);
  } catch (cause) {
    if (isFfiDisabled(cause)) {
      throw new NativeLibraryError(
        "ffi-disabled",
        "bun:ffi is disabled in this process, so no native library can be loaded. Start Bun without the option that disables it.",
        { cause },
      );
    }
    // A library of another version may lack a function.
    const version = versionOf(path);
    if (version !== undefined) requireVersion(path, version);
    throw new NativeLibraryError(
      "unloadable",
      `${path} cannot be loaded on ${process.platform} ${process.arch} by Bun ${Bun.version}: ${
        cause instanceof Error ? cause.message : String(cause)
      }\n${HOW_TO_BUILD}`,
      { cause },
    );
  }
}

function openSymbols(path: string) {
  return dlopen(path, symbols).symbols;
}

/** The ABI version of a library, `undefined` when it is none of ours. */
function versionOf(path: string): number | undefined {
  try {
    return dlopen(path, { abi_version: symbols.abi_version }).symbols.abi_version();
  } catch {
    return undefined;
  }
}

function requireVersion(path: string, version: number): void {
  if (version !== ABI_VERSION) throw wrongVersion(path, `version ${version}, this package needs ${ABI_VERSION}`);
}

function isFfiDisabled(cause: unknown): boolean {
  const code = (cause as { code?: unknown } | null)?.code;
  return code === "ERR_FFI_DISABLED" || code === "ERR_DLOPEN_DISABLED";
}

function wrongVersion(path: string, difference: string): NativeLibraryError {
  return new NativeLibraryError("wrong-version", `${path} has another ABI: ${difference}. ${HOW_TO_BUILD}`);
}
