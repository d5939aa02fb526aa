// Runs the tests with the Bun for musl, on Debian: with its musl, and its libstdc++ made to load under it by a shim.
// This is not Alpine, but it is musl's loader, threads and getaddrinfo.
import { cpSync } from "node:fs";
import { join } from "node:path";
import { findZig } from "./build-native.ts";
import { cacheFolder, installBun, installPackages, root, run, runSuite } from "./foreign-bun.ts";

const DEBIAN_LIBRARIES = "/usr/lib/x86_64-linux-gnu";
/** The name of glibc's loader, which those libraries ask for. */
const SHIM = "ld-linux-x86-64.so.2";

installPackages("musl", "libstdc++6", "libgcc-s1");
const libraries = cacheFolder("musl");
for (const name of ["libstdc++.so.6", "libgcc_s.so.1"]) {
  cpSync(join(DEBIAN_LIBRARIES, name), join(libraries, name), { dereference: true });
}
const target = ["-target", "x86_64-linux-musl", "-D_GNU_SOURCE", "-shared", `-Wl,-soname,${SHIM}`];
run([findZig(), "cc", ...target, "-o", join(libraries, SHIM), join(root, "test/musl/shim.c")]);
await runSuite([installBun("linux-x64-musl")], { LD_LIBRARY_PATH: libraries });
