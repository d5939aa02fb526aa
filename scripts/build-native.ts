// Builds the native library when a Zig source is newer than it, and says what it does. `npm install` and
// `bun install` run it (the script `prepare`), and so does `bun test` (its preload).
import { existsSync, readdirSync, statSync, utimesSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const root = join(import.meta.dir, "..");
const ZIG_VERSION = "0.16.0";
/** Where `zig build` leaves the library of this platform. */
export const builtLibrary = join(
  root,
  "zig-out",
  ...({ win32: ["bin", "asyncdispatch.dll"], darwin: ["lib", "libasyncdispatch.dylib"] }[
    process.platform as string
  ] ?? ["lib", "libasyncdispatch.so"]),
);

/** The compiler itself: its npm wrapper reports a killed compiler as a success. */
export function findZig(): string {
  const name = `@zigc/${process.platform}-${process.arch}`;
  const require = createRequire(join(root, "package.json"));
  let zig: string;
  try {
    zig = join(
      dirname(require.resolve(`${name}/package.json`)),
      "bin",
      process.platform === "win32" ? "zig.exe" : "zig",
    );
  } catch {
    throw new Error(
      `The Zig compiler is missing: the package ${name} is not installed. Run \`npm install\` or \`bun install\` without --omit=dev and --omit=optional.`,
    );
  }
  const { stdout, exitCode, signalCode } = Bun.spawnSync([zig, "version"], { stdout: "pipe", stderr: "inherit" });
  const version = stdout.toString().trim();
  if (exitCode !== 0) throw new Error(`${zig} does not run (${signalCode ?? `exit code ${exitCode}`})`);
  if (version !== ZIG_VERSION) throw new Error(`${zig} is Zig ${version}; this project needs ${ZIG_VERSION}`);
  return zig;
}

/** Runs `zig build` with the given arguments in the project's folder and the environment as it is now, its output shown. */
export function runZig(...args: string[]): void {
  const { exitCode, signalCode } = Bun.spawnSync([findZig(), "build", ...args], {
    cwd: root,
    env: process.env,
    stdout: "inherit",
    stderr: "inherit",
  });
  if (exitCode !== 0)
    throw new Error(`${["zig build", ...args].join(" ")} failed (${signalCode ?? `exit code ${exitCode}`})`);
}

function newestSourceMs(): number {
  const sources = readdirSync(join(root, "zig-src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return Math.max(
    ...[...sources, join(root, "build.zig"), join(root, "build.zig.zon")].map((path) => statSync(path).mtimeMs),
  );
}

/** Builds the library unless it is newer than every source. */
export function buildNative(): void {
  if (existsSync(builtLibrary) && statSync(builtLibrary).mtimeMs > newestSourceMs()) {
    console.error("asyncdispatch: the native library is up to date");
    return;
  }
  console.error(
    `asyncdispatch: building the native library with Zig ${ZIG_VERSION} (about half a minute the first time)`,
  );
  const start = performance.now();
  runZig();
  if (!existsSync(builtLibrary)) throw new Error(`zig build succeeded and left no ${builtLibrary}`);
  // Zig leaves the file alone when it comes out the same.
  utimesSync(builtLibrary, new Date(), new Date());
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.error(
    `asyncdispatch: built ${builtLibrary} (${Math.round(statSync(builtLibrary).size / 1024)} KiB) in ${seconds} s`,
  );
}

if (import.meta.main) {
  try {
    buildNative();
  } catch (error) {
    console.error(`asyncdispatch: ${(error as Error).message}`);
    process.exit(1);
  }
}
