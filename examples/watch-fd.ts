// Watches a descriptor that is not a socket: standard input, or a named pipe.
//
//   (sleep 1; echo hello) | bun run examples/watch-fd.ts
//   mkfifo /tmp/pipe && bun run examples/watch-fd.ts /tmp/pipe     and elsewhere: echo hello > /tmp/pipe
//
// It ends with its input, or by Ctrl-C.
import { closeSync, constants, openSync, readSync } from "node:fs";
import {
  type AsyncFD,
  addRead,
  async,
  asyncCheck,
  getGlobalDispatcher,
  IOSelectorsException,
  newFuture,
  register,
  sleepAsync,
  unregister,
  waitFor,
} from "asyncdispatch";

const path = process.argv[2];
const name = path ?? "standard input";
// Without O_NONBLOCK, opening a named pipe waits for a writer, and the whole program with it. The mode of standard
// input is left alone, since the shell and other programs share it.
const fd = (path === undefined ? 0 : openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)) as AsyncFD;

const buffer = Buffer.alloc(4096);
const decoder = new TextDecoder();
const ended = newFuture("watch-fd");

/** One read per call: it does not block, for the descriptor is readable, but a second one could. */
function onReadable(readable: AsyncFD): boolean {
  let length: number;
  try {
    length = readSync(readable, buffer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return false; // somebody else was quicker
    ended.fail(error as Error);
    return true;
  }
  if (length === 0) {
    ended.complete();
    return true; // done: the watch is removed
  }
  console.log(`read ${length} bytes: ${JSON.stringify(decoder.decode(buffer.subarray(0, length), { stream: true }))}`);
  return false; // goes on watching
}

/** Shows that waiting for input holds up nothing. */
const tick = async(function* () {
  for (let seconds = 10; ; seconds += 10) {
    yield* sleepAsync(10_000);
    console.log(`watching for ${seconds} s`);
  }
});

try {
  register(fd);
  addRead(fd, onReadable);
} catch (error) {
  if (!(error instanceof IOSelectorsException)) throw error;
  console.error(`${name} cannot be watched: ${error.message}.`);
  console.error("A regular file or /dev/null is always ready, so there is nothing to wait for: read it directly.");
  process.exit(1);
}
console.log(`watching ${name}`);
asyncCheck(tick());
waitFor(ended);
unregister(fd);
if (path !== undefined) closeSync(fd);
getGlobalDispatcher().unref(); // the ticks alone do not keep the program running
console.log(`${name} has ended`);
