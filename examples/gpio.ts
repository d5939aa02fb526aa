// Edges of input lines, as a character device reports them, each printed as soon as it happens. Waiting for the next one
// holds up nothing: the stand-in for the device is written by a timer of Bun in this very thread.
//
//   bun run examples/gpio.ts                a stand-in: a pseudo terminal on which two buttons are pressed
//   bun run examples/gpio.ts /dev/ttyUSB0   a device that sends lines such as "17 rising"; for a serial one, do
//                                           stty -F /dev/ttyUSB0 raw -echo 115200
//
// It ends with its device, or by Ctrl-C.
//
// A real /dev/gpiochip0 is asked for a line's events by an ioctl (GPIO_V2_GET_LINE_IOCTL), which gives a descriptor with
// 48 bytes for each edge instead of a text: newAsyncFile(fd) and readBuffer instead of openAsync and readLine.
import { dlopen } from "bun:ffi";
import { constants, writeSync } from "node:fs";
import { OSError } from "asyncdispatch";
import { openAsync } from "asyncdispatch/asyncfile";

const PRESSES = ["17 rising", "17 falling", "27 rising", "17 rising", "27 falling", "17 falling"];
const INTERVAL_MS = 250;

/** Opens a pseudo terminal, on which edges are sent from now on, and gives the path of the end to be read. */
function startStandIn(): string {
  // musl answers to this name as well.
  const { symbols: libc } = dlopen("libc.so.6", {
    posix_openpt: { args: ["i32"], returns: "i32" },
    grantpt: { args: ["i32"], returns: "i32" },
    unlockpt: { args: ["i32"], returns: "i32" },
    ptsname: { args: ["i32"], returns: "cstring" },
  });
  const terminal = libc.posix_openpt(constants.O_RDWR | constants.O_NOCTTY);
  if (terminal < 0 || libc.grantpt(terminal) < 0 || libc.unlockpt(terminal) < 0) {
    throw new Error("there is no pseudo terminal");
  }
  let sent = 0;
  setInterval(() => writeSync(terminal, `${PRESSES[sent++ % PRESSES.length]}\n`), INTERVAL_MS);
  return libc.ptsname(terminal) as string;
}

const path = process.argv[2] ?? startStandIn();
const device = openAsync(path);
const start = performance.now();
console.log(`watching ${path}`);
try {
  for (;;) {
    const line = await device.readLine();
    if (line === null) break;
    const [, pin, edge] = /^(\d+) (rising|falling)$/.exec(line.trim()) ?? [];
    const time = `${((performance.now() - start) / 1000).toFixed(3)} s`;
    console.log(pin === undefined ? `${time}: not an edge: ${JSON.stringify(line)}` : `${time}: line ${pin} ${edge}`);
  }
} catch (error) {
  // A terminal whose other end is gone has no end of input but an error.
  if (!(error instanceof OSError && error.code === "EIO")) throw error;
} finally {
  device.close();
}
console.log(`${path} has ended`);
