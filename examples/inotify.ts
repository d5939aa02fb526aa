// Prints what happens to the files in a folder, with inotify through bun:ffi: a descriptor that a C function gives, and
// that Bun alone cannot watch. addRead can, driven by Bun's loop, beside a timer of Bun.
//
//   bun run examples/inotify.ts [folder]     without an argument, the current one; Ctrl-C ends it
//
// Its limits: Linux only, and not the folders in the folder. The kernel merges equal events that follow each other, and
// drops events when too many are unread; it says so then (overflow), and only looking at the folder helps.
import { dlopen } from "bun:ffi";
import { closeSync, constants, readSync } from "node:fs";
import { type AsyncFD, addRead, register, unregister } from "asyncdispatch";

// musl answers to this name as well.
const { symbols: libc } = dlopen("libc.so.6", {
  inotify_init1: { args: ["i32"], returns: "i32" },
  inotify_add_watch: { args: ["i32", "cstring", "u32"], returns: "i32" },
});

const EVENTS = {
  "was written": 0x2, // IN_MODIFY
  "was closed after writing": 0x8, // IN_CLOSE_WRITE
  "was moved away": 0x40, // IN_MOVED_FROM
  "was moved here": 0x80, // IN_MOVED_TO
  "was created": 0x100, // IN_CREATE
  "was deleted": 0x200, // IN_DELETE
};
const IN_Q_OVERFLOW = 0x4000;
const IN_IGNORED = 0x8000;
const IN_ONLYDIR = 0x1000000;
const IN_ISDIR = 0x40000000;
/** struct inotify_event { int wd; uint32_t mask, cookie, len; char name[len]; } */
const HEAD_SIZE = 16;

const folder = process.argv[2] ?? ".";
const mask = Object.values(EVENTS).reduce((all, bit) => all | bit, IN_ONLYDIR);
const fd = libc.inotify_init1(constants.O_NONBLOCK) as AsyncFD;
if (fd < 0 || libc.inotify_add_watch(fd, folder, mask) < 0) {
  // Why is in errno, which cannot be relied on once JavaScript has run again.
  console.error(`${folder} cannot be watched: it is no folder, not readable, or there are too many watches.`);
  process.exit(1);
}

const buffer = Buffer.alloc(64 * 1024);
let recent = 0;

/** One read per call gives as many events as fit; as long as there are more, there is another call. */
function onReadable(): boolean {
  const size = readSync(fd, buffer);
  for (let at = 0; at < size; ) {
    const bits = buffer.readUInt32LE(at + 4);
    const end = at + HEAD_SIZE + buffer.readUInt32LE(at + 12);
    const name = buffer.toString("utf8", at + HEAD_SIZE, end).replace(/\0+$/, "");
    at = end;
    recent += 1;
    if ((bits & IN_IGNORED) !== 0) {
      console.log(`${folder} is gone`);
      stop();
      return true;
    }
    if ((bits & IN_Q_OVERFLOW) !== 0) console.log("overflow: events were lost");
    for (const [what, bit] of Object.entries(EVENTS)) {
      if ((bits & bit) !== 0) console.log(`${(bits & IN_ISDIR) === 0 ? "file" : "folder"} ${name} ${what}`);
    }
  }
  return false; // goes on watching
}

/** With the watch and the timer gone nothing is pending, so that the program ends by itself. */
function stop(): void {
  unregister(fd);
  closeSync(fd);
  clearInterval(timer);
  process.off("SIGINT", stop);
}

const timer = setInterval(() => {
  if (recent > 0) console.log(`events in the last second: ${recent}`);
  recent = 0;
}, 1000);
process.on("SIGINT", stop);
register(fd);
addRead(fd, onReadable);
console.log(`watching ${folder}`);
