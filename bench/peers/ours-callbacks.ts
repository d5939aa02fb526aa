// Raw callbacks, as somebody binding a C library would write them: the library only says that a descriptor is ready,
// recv and send are called here, on one buffer that all connections share.
import { dlopen } from "bun:ffi";
import {
  type AsyncFD,
  accept,
  addRead,
  addWrite,
  async,
  asyncCheck,
  closeSocket,
  runForever,
} from "../../src/index.ts";
import { listenOnLoopback, readBytes } from "./ours-listen.ts";

const libc = dlopen("libc.so.6", {
  recv: { args: ["i32", "buffer", "u64", "i32"], returns: "i32" },
  send: { args: ["i32", "buffer", "u64", "i32"], returns: "i32" },
}).symbols;
const MSG_NOSIGNAL = 0x4000;

const buffer = Buffer.alloc(readBytes);

const unsent = new Map<AsyncFD, Buffer>();

// A callback returns whether it is done: false keeps it registered.
function onReadable(fd: AsyncFD): boolean {
  const length = libc.recv(fd, buffer, readBytes, 0);
  if (length <= 0) return drop(fd);
  const sent = Math.max(libc.send(fd, buffer, length, MSG_NOSIGNAL), 0);
  if (sent === length) return false;
  unsent.set(fd, Buffer.from(buffer.subarray(sent, length)));
  addWrite(fd, onWritable);
  return true; // reads no more until this is out
}

function onWritable(fd: AsyncFD): boolean {
  const data = unsent.get(fd);
  if (!data) return true;
  const sent = libc.send(fd, data, data.length, MSG_NOSIGNAL);
  if (sent < 0) return drop(fd); // it was writable, so the connection is broken
  if (sent < data.length) {
    unsent.set(fd, data.subarray(sent));
    return false;
  }
  unsent.delete(fd);
  addRead(fd, onReadable);
  return true;
}

function drop(fd: AsyncFD): boolean {
  unsent.delete(fd);
  closeSocket(fd);
  return true;
}

const listenLoop = async(function* (server: AsyncFD) {
  for (;;) addRead(yield* accept(server), onReadable);
});

asyncCheck(listenLoop(listenOnLoopback()));
runForever();
