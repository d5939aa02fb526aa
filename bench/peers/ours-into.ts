// The generator form with memory of its own: one buffer per connection instead of a new one per message.
import {
  type AsyncFD,
  accept,
  async,
  asyncCheck,
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  getLocalAddr,
  listen,
  recvInto,
  runForever,
  SOBool,
  send,
  setSockOpt,
} from "../../src/index.ts";

const readBytes = Number(process.argv[2] ?? 16384);

const serve = async(function* (client: AsyncFD) {
  const buffer = Buffer.allocUnsafeSlow(readBytes);
  for (;;) {
    const size = yield* recvInto(client, buffer);
    if (size === 0) break;
    yield* send(client, buffer.subarray(0, size));
  }
  closeSocket(client);
});

const listenLoop = async(function* (server: AsyncFD) {
  for (;;) asyncCheck(serve(yield* accept(server)));
});

const server = createAsyncNativeSocket();
setSockOpt(server, SOBool.OptReuseAddr, true);
bindAddr(server, "127.0.0.1", 0);
listen(server);
console.log(`port ${getLocalAddr(server)[1]}`);
asyncCheck(listenLoop(server));
runForever();
