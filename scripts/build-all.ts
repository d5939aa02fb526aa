// Builds the library for every platform into prebuilt/, where src/native/location.ts looks for it, and checks of each
// file what can be told without running it. Fails when one is missing or not as it must be.
import { dlopen } from "bun:ffi";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ABI_VERSION, symbols } from "../src/native/abi.ts";
import { runZig } from "./build-native.ts";
import { readElf } from "./formats/elf.ts";
import type { Library } from "./formats/library.ts";
import { readMachO } from "./formats/macho.ts";
import { readPe } from "./formats/pe.ts";

const prebuilt = join(import.meta.dir, "..", "prebuilt");
const CPUS = ["x64", "arm64"] as const;

interface System {
  readonly file: string;
  /** @throws when it is no library of this system */
  readonly read: (file: Buffer) => Library;
  /** The libraries that it may need, in lower case. */
  readonly mayNeed: readonly string[];
  /** What the system's linker exports of its own accord. */
  readonly linkerExports: readonly string[];
}

/** By `process.platform`. */
const systems: Record<string, System> = {
  linux: { file: "libasyncdispatch.so", read: readLinux, mayNeed: [], linkerExports: [] },
  darwin: {
    file: "libasyncdispatch.dylib",
    read: readMacOS,
    mayNeed: ["/usr/lib/libsystem.b.dylib"],
    linkerExports: ["_mh_dylib_header", "__dso_handle"],
  },
  win32: {
    file: "asyncdispatch.dll",
    read: readPe,
    mayNeed: ["ntdll.dll", "kernel32.dll", "ws2_32.dll"],
    linkerExports: ["_DllMainCRTStartup", "_tls_index", "_tls_start", "_tls_end", "_tls_used", "__xl_a", "__xl_z"],
  },
  freebsd: { file: "libasyncdispatch.so", read: readElf, mayNeed: ["libc.so.7", "libthr.so.3"], linkerExports: [] },
};

/** What both C libraries, glibc and musl, have in every process: the file names none that the system could look in. */
const LINUX_IMPORTS = [
  "__errno_location",
  "freeaddrinfo",
  "gai_strerror",
  "getaddrinfo",
  "getauxval",
  "pthread_create",
  "pthread_detach",
  "pthread_join",
];

function readLinux(file: Buffer): Library {
  const library = readElf(file);
  const unknown = library.imports.filter((name) => !LINUX_IMPORTS.includes(name));
  if (unknown.length > 0) throw new Error(`it takes ${unknown} from the process, which may not have it`);
  return library;
}

function readMacOS(file: Buffer): Library {
  const library = readMachO(file);
  if (library.cpu === "arm64" && !library.isSigned) throw new Error("it is not signed");
  return library;
}

/** The files of all platforms, from the package's root. */
export const prebuiltFiles = Object.entries(systems).flatMap(([platform, { file }]) =>
  CPUS.map((cpu) => `prebuilt/${platform}-${cpu}/${file}`),
);

/** @throws when the library says another ABI version than these sources, in its file or, where it can run, itself */
function requireAbi(path: string, file: Buffer, isHost: boolean): void {
  const versions = [file.toString("latin1").match(/asyncdispatch ABI (\d+)\n/)?.[1] ?? "unknown"];
  if (isHost) versions.push(String(dlopen(path, { abi_version: symbols.abi_version }).symbols.abi_version()));
  const other = versions.find((version) => version !== String(ABI_VERSION));
  if (other !== undefined) throw new Error(`its ABI is ${other}, that of src/native is ${ABI_VERSION}`);
}

/** Checks one platform's file and describes it. */
function check(platform: string, cpu: string): string {
  const { file: name, read, mayNeed, linkerExports } = systems[platform] as System;
  const path = join(prebuilt, `${platform}-${cpu}`, name);
  if (!existsSync(path)) throw new Error("it is missing");
  const file = readFileSync(path);
  const library = read(file);
  if (library.cpu !== cpu) throw new Error(`it is for the CPU ${library.cpu}`);
  const needless = library.needed.filter((needed) => !mayNeed.includes(needed.toLowerCase()));
  if (needless.length > 0) throw new Error(`it needs ${needless}`);
  const required = [...Object.keys(symbols), "abi_marker"];
  const missing = required.filter((symbol) => !library.exports.includes(symbol));
  if (missing.length > 0) throw new Error(`it lacks ${missing}`);
  const surplus = library.exports.filter((symbol) => ![...required, ...linkerExports].includes(symbol));
  if (surplus.length > 0) throw new Error(`it also exports ${surplus}`);
  requireAbi(path, file, platform === process.platform && cpu === process.arch);
  return `${Math.ceil(file.length / 1024)} KiB, needs ${library.needed.join(", ") || "no library"}`;
}

/** @throws when a file is not as it must be; every file is looked at, and named */
function checkAll(): void {
  let failures = 0;
  for (const platform of Object.keys(systems)) {
    for (const cpu of CPUS) {
      let verdict: string;
      try {
        verdict = check(platform, cpu);
      } catch (error) {
        failures++;
        verdict = `FAILED: ${(error as Error).message}`;
      }
      console.log(`${platform}-${cpu}: ${verdict}`);
    }
  }
  if (failures > 0) throw new Error(`${failures} of the libraries are missing or not as they must be`);
}

function buildAll(): void {
  rmSync(prebuilt, { recursive: true, force: true });
  const start = performance.now();
  try {
    runZig("all", "--prefix", prebuilt, "--summary", "none");
  } finally {
    console.log(`built in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    checkAll();
  }
}

if (import.meta.main) {
  try {
    buildAll();
  } catch (error) {
    console.error(`asyncdispatch: ${(error as Error).message}`);
    process.exit(1);
  }
}
