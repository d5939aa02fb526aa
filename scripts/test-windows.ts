// Runs the native suite and the tests with the Bun for Windows, on Debian: under its Wine, which is not Windows.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { findZig, runZig } from "./build-native.ts";
import { cacheFolder, installBun, installPackages, root, run, runSuite } from "./foreign-bun.ts";

const TARGET = "x86_64-windows";
const WINE = "/usr/lib/wine/wine64";
const WINE_SERVER = "/usr/lib/wine/wineserver";

/** A file as the programs of Windows call it here. */
function windowsPath(path: string): string {
  return `Z:${path.replaceAll("/", "\\")}`;
}

/** Makes a Windows that lasts as long as this script: nobody else's programs are in it, and none of its own is left. */
function makeWindows(): void {
  const prefix = mkdtempSync(join(tmpdir(), "asyncdispatch-wine-"));
  process.env.WINEPREFIX = prefix;
  process.on("exit", () => {
    for (const what of ["--kill", "--wait"]) Bun.spawnSync([WINE_SERVER, what], { env: process.env });
    rmSync(prefix, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));
}

installPackages("wine64");
makeWindows();
process.env.WINEDEBUG = "-all";
// `bun run` says here where it found a Node; with a path that is none of Windows, Bun for Windows crashes under Wine.
delete process.env.NODE;
delete process.env.npm_node_execpath;

const bun = installBun("windows-x64");
const shim = join(dirname(bun), "bcryptprimitives.dll");
const shimSource = join(root, "test/windows/bcryptprimitives.zig");
const shimFlags = ["-dynamic", "-target", TARGET, "-O", "ReleaseSmall", "-fno-emit-implib", `-femit-bin=${shim}`];
run([findZig(), "build-lib", ...shimFlags, shimSource]);
run([WINE, bun, "--version"]);

// Zig looks for a Wine of this name.
const tools = cacheFolder("wine-tools");
writeFileSync(join(tools, "wine"), `#!/bin/sh\nexec ${WINE} "$@"\n`);
chmodSync(join(tools, "wine"), 0o755);
process.env.PATH = `${tools}:${process.env.PATH}`;
runZig("test", `-Dtarget=${TARGET}`, "-fwine", "--summary", "all");

const output = cacheFolder("windows");
runZig(`-Dtarget=${TARGET}`, "--prefix", output);
const library = windowsPath(join(output, "bin/asyncdispatch.dll"));
await runSuite([WINE, bun], { ASYNCDISPATCH_LIBRARY: library }, ["--parallel=2"]);
