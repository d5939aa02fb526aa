import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findZig } from "../scripts/build-native.ts";
import { readElf } from "../scripts/formats/elf.ts";
import { ABI_VERSION, symbols } from "../src/native/abi.ts";
import { hasCompiler } from "./compiler.ts";
import { isWindows } from "./descriptors.ts";
import { removeFolder } from "./folders.ts";

const root = join(import.meta.dir, "..");
const builtLibrary = join(root, "zig-out", "lib", "libasyncdispatch.so");
const COMPILER_TIMEOUT_MS = 60_000;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
});
afterAll(() => removeFolder(directory));

function run(command: string[], env: Record<string, string | undefined> = {}, cwd = root) {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, { cwd, env: { ...process.env, ...env } });
  return { stdout: stdout.toString(), stderr: stderr.toString(), exitCode };
}

const REPORT = `import(process.env.MODULE).then(
  () => console.log(JSON.stringify({ name: "loaded" })),
  ({ name, reason, message, cause }) => console.log(JSON.stringify({ name, reason, message, cause: String(cause) })),
)`;

interface Outcome {
  readonly name: string;
  readonly reason?: string;
  readonly message: string;
  readonly cause: string;
}

/** Imports the package in another process, and says what came of it. */
function importWith(library: string | undefined, { module = join(root, "src/index.ts"), preload = "" } = {}): Outcome {
  const flags = preload === "" ? [] : ["--preload", preload];
  const { stdout, stderr } = run([process.execPath, ...flags, "-e", REPORT], {
    ASYNCDISPATCH_LIBRARY: library,
    MODULE: module,
  });
  if (stdout === "") throw new Error(`the child said nothing:\n${stderr}`);
  return JSON.parse(stdout);
}

/** The package's sources, without a library for any platform. */
function packageWithoutLibrary(): string {
  const folder = join(directory, "package");
  cpSync(join(root, "src"), join(folder, "src"), { recursive: true });
  return folder;
}

/** Builds a library of functions without arguments, from their names and what they return. */
function buildLibrary(name: string, functions: Record<string, number>): string {
  const source = join(directory, `${name}.zig`);
  const path = join(directory, `${name}.so`);
  const lines = Object.entries(functions).map(([f, value]) => `export fn ${f}() u32 { return ${value}; }`);
  writeFileSync(source, lines.join("\n"));
  const built = run([findZig(), "build-lib", "-dynamic", `-femit-bin=${path}`, source], {}, directory);
  if (built.exitCode !== 0) throw new Error(built.stderr);
  return path;
}

describe("a library that cannot be used", () => {
  test("missing: ASYNCDISPATCH_LIBRARY names a file that is not there", () => {
    const path = join(directory, "nowhere.so");
    const { name, reason, message } = importWith(path);
    expect([name, reason]).toEqual(["NativeLibraryError", "missing"]);
    expect(message).toContain(path);
  });

  test("missing: no library in any place names the platform and the places", () => {
    const package_ = packageWithoutLibrary();
    const { name, reason, message } = importWith(undefined, { module: join(package_, "src/index.ts") });
    expect([name, reason]).toEqual(["NativeLibraryError", "missing"]);
    expect(message).toContain(`${process.platform}-${process.arch}`);
    expect(message).toContain(join(package_, "zig-out"));
    expect(message).toContain(join(package_, "prebuilt"));
  });

  test.each([
    ["android", "arm64"],
    ["linux", "riscv64"],
    ["sunos", "x64"],
  ])("missing: on %s %s, it is said how to build one and how to name it", (platform, arch) => {
    const preload = join(directory, `${platform}.ts`);
    writeFileSync(
      preload,
      `Object.defineProperties(process, { platform: { value: "${platform}" }, arch: { value: "${arch}" } });`,
    );
    const module = join(packageWithoutLibrary(), "src/index.ts");
    const { name, reason, message } = importWith(undefined, { module, preload });
    expect([name, reason]).toEqual(["NativeLibraryError", "missing"]);
    for (const part of [`${platform}-${arch}`, "zig build -Dtarget=", "ASYNCDISPATCH_LIBRARY"]) {
      expect(message).toContain(part);
    }
  });

  test("unloadable: a file that is no library; path, system, CPU, Bun and cause are named", () => {
    const path = join(directory, "text.so");
    writeFileSync(path, "This is not a library.\n");
    const { name, reason, message, cause } = importWith(path);
    expect([name, reason]).toEqual(["NativeLibraryError", "unloadable"]);
    for (const part of [path, process.platform, process.arch, Bun.version]) expect(message).toContain(part);
    expect(message).toMatch(/file too short|invalid ELF header|Exec format error|error code 193/);
    expect(cause).not.toBe("undefined");
  });

  test.skipIf(!hasCompiler)(
    "unloadable: a library that lacks a function (skipped without a compiler)",
    () => {
      const { reason, message } = importWith(buildLibrary("lacking", { abi_version: ABI_VERSION }));
      expect(reason).toBe("unloadable");
      expect(message).toContain("not found");
    },
    COMPILER_TIMEOUT_MS,
  );

  test.skipIf(!hasCompiler)(
    "wrong-version: both versions are named (skipped without a compiler)",
    () => {
      const path = buildLibrary("future", { abi_version: 999 });
      const { name, reason, message } = importWith(path);
      expect([name, reason]).toEqual(["NativeLibraryError", "wrong-version"]);
      for (const part of [path, "999", String(ABI_VERSION)]) expect(message).toContain(part);
    },
    COMPILER_TIMEOUT_MS,
  );

  test.skipIf(!hasCompiler)(
    "wrong-version: a struct of another size (skipped without a compiler)",
    () => {
      const functions = Object.fromEntries(Object.keys(symbols).map((name) => [name, 7]));
      const { reason, message } = importWith(buildLibrary("sized", { ...functions, abi_version: ABI_VERSION }));
      expect(reason).toBe("wrong-version");
      expect(message).toContain("of 7 bytes");
    },
    COMPILER_TIMEOUT_MS,
  );

  test.skipIf(isWindows)("ffi-disabled: dlopen refuses (skipped on Windows, whose Bun calls no plugin for it)", () => {
    const fake = join(directory, "ffi.ts");
    writeFileSync(
      fake,
      `export { toArrayBuffer, suffix } from "bun:ffi";
       export function dlopen() { throw Object.assign(new Error("disabled"), { code: "ERR_FFI_DISABLED" }); }`,
    );
    const preload = join(directory, "preload.ts");
    // bun:ffi itself cannot be replaced, but what the sources import can.
    writeFileSync(
      preload,
      `Bun.plugin({ name: "no-ffi", setup(build) {
         build.onLoad({ filter: /src\\/native\\/library\\.ts$/ }, async ({ path }) => ({
           contents: (await Bun.file(path).text()).replace('"bun:ffi"', ${JSON.stringify(JSON.stringify(fake))}),
           loader: "ts",
         }));
       } });`,
    );
    const { name, reason, message } = importWith(builtLibrary, { preload });
    expect([name, reason]).toEqual(["NativeLibraryError", "ffi-disabled"]);
    expect(message).toContain("bun:ffi is disabled");
  });
});

test.skipIf(!hasCompiler)(
  "src/native/abi.ts is what the Zig sources say (skipped without a compiler)",
  () => {
    const { stdout, stderr, exitCode } = run([findZig(), "build", "abi-print"]);
    expect(`${stderr}${exitCode}`).toBe("0");
    expect(readFileSync(join(root, "src/native/abi.ts"), "utf8")).toBe(stdout);
  },
  COMPILER_TIMEOUT_MS,
);

test.skipIf(process.platform !== "linux")(
  "the library needs no other library, whatever the C library is (skipped where it is not Linux's)",
  () => {
    const { exports, needed } = readElf(readFileSync(builtLibrary));
    expect(exports).toContain("abi_version");
    expect(needed).toEqual([]);
  },
);

describe.skipIf(isWindows)("the build (skipped on Windows: the compilers here are shell scripts)", () => {
  /** Runs the build script in a project whose compiler is the given shell script, if any. */
  function build(project: string, zig?: string): { exitCode: number; stderr: string } {
    const folder = join(directory, project);
    mkdirSync(join(folder, "scripts"), { recursive: true });
    cpSync(join(root, "scripts/build-native.ts"), join(folder, "scripts/build-native.ts"));
    writeFileSync(join(folder, "package.json"), "{}");
    mkdirSync(join(folder, "node_modules")); // without one, Bun installs what is missing by itself
    if (zig !== undefined) {
      const compiler = join(folder, "node_modules", "@zigc", `${process.platform}-${process.arch}`);
      mkdirSync(join(compiler, "bin"), { recursive: true });
      writeFileSync(join(compiler, "package.json"), "{}");
      writeFileSync(join(compiler, "bin/zig"), `#!/bin/sh\n${zig}\n`);
      chmodSync(join(compiler, "bin/zig"), 0o755);
    }
    return run([process.execPath, "scripts/build-native.ts"], {}, folder);
  }

  const SAY_VERSION = `if [ "$1" = version ]; then echo 0.16.0; exit; fi`;

  test("names the missing compiler's package", () => {
    const { exitCode, stderr } = build("none");
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`the package @zigc/${process.platform}-${process.arch} is not installed`);
  });

  test("refuses a compiler of another version", () => {
    const { exitCode, stderr } = build("old", "echo 0.11.0");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("is Zig 0.11.0; this project needs 0.16.0");
  });

  test("reports a compiler that does not run", () => {
    const { exitCode, stderr } = build("broken", "kill -KILL $$");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("does not run (SIGKILL)");
  });

  test("reports a compiler that is killed while it builds", () => {
    const { exitCode, stderr } = build("killed", `${SAY_VERSION}; kill -KILL $$`);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("zig build failed (SIGKILL)");
  });

  test("reports a compiler that fails", () => {
    const { exitCode, stderr } = build("failing", `${SAY_VERSION}; exit 3`);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("failed (exit code 3)");
  });

  test("reports a compiler that succeeds and leaves no library", () => {
    const { exitCode, stderr } = build("idle", SAY_VERSION);
    expect(exitCode).toBe(1);
    expect(stderr).toContain("zig build succeeded and left no ");
  });

  test("leaves a library alone that is newer than its sources", () => {
    const folder = join(directory, "fresh");
    mkdirSync(join(folder, "zig-out/lib"), { recursive: true });
    mkdirSync(join(folder, "zig-src"));
    for (const file of ["zig-src/lib.zig", "build.zig", "build.zig.zon", "zig-out/lib/libasyncdispatch.so"]) {
      writeFileSync(join(folder, file), "");
    }
    run(["touch", "-d", "-1 hour", "zig-src/lib.zig", "build.zig", "build.zig.zon"], {}, folder);
    const { exitCode, stderr } = build("fresh", "exit 1");
    expect(`${stderr}${exitCode}`).toBe("asyncdispatch: the native library is up to date\n0");
  });
});
