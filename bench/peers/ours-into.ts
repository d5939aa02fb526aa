// The generator form with memory of its own: one buffer per connection instead of a new one per message.
import { type AsyncFD, accept, async, asyncCheck, closeSocket, recvInto, runForever, send } from "../../src/index.ts";
import { listenOnLoopback, readBytes } from "./ours-listen.ts";

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

asyncCheck(listenLoop(listenOnLoopback()));
runForever();
