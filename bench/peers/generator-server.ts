// An echo server in the generator form, not yet driven by anybody.
import { type AsyncFD, accept, async, asyncCheck, closeSocket, recv, send } from "../../src/index.ts";
import { listenOnLoopback, readBytes } from "./ours-listen.ts";

const serve = async(function* (client: AsyncFD) {
  for (;;) {
    const data = yield* recv(client, readBytes);
    if (data.length === 0) break;
    yield* send(client, data);
  }
  closeSocket(client);
});

const listenLoop = async(function* (server: AsyncFD) {
  for (;;) asyncCheck(serve(yield* accept(server)));
});

asyncCheck(listenLoop(listenOnLoopback()));
