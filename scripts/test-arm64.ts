// Runs the tests with the Bun for arm64 under qemu, on Debian for x64. Programs that they start run under qemu too,
// through a binfmt_misc of this run's own, which takes a kernel from 6.7 on and user namespaces.
import { join } from "node:path";
import { runZig } from "./build-native.ts";
import { cacheFolder, installBun, installPackages, runSuite } from "./foreign-bun.ts";

const QEMU = "/usr/bin/qemu-aarch64-static";
const SYSTEM_ROOT = "/usr/aarch64-linux-gnu";

/** The first bytes of a 64-bit ELF program for arm64, and which of their bits count, as binfmt_misc reads them. */
const MAGIC = String.raw`\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`;
const MASK = String.raw`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`;
const REGISTER = `
  mount -t binfmt_misc none /proc/sys/fs/binfmt_misc &&
  printf %s ':qemu-aarch64:M::${MAGIC}:${MASK}:${QEMU}:OCF' > /proc/sys/fs/binfmt_misc/register &&
  exec "$@"`;

installPackages("qemu-user-static", "libc6-arm64-cross", "libstdc++6-arm64-cross", "libgcc-s1-arm64-cross");
const built = cacheFolder("arm64");
runZig("-Dtarget=aarch64-linux", "--prefix", built);
const bun = installBun("linux-aarch64");
const command = ["unshare", "--map-root-user", "--mount", "sh", "-c", REGISTER, "sh", bun];
const env = {
  ASYNCDISPATCH_LIBRARY: join(built, "lib/libasyncdispatch.so"),
  ASYNCDISPATCH_TEST_EMULATOR: "qemu",
  // What the engine's optimising compilers write crashes under qemu 7.2, that of Debian 12, where Workers end at random.
  BUN_JSC_useDFGJIT: "0",
  QEMU_LD_PREFIX: SYSTEM_ROOT,
};
// All takes ten times as long or more.
await runSuite(command, env, ["--parallel=2", "--timeout=60000"]);
