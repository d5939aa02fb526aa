// The native async form.
import { type AsyncFD, accept, async, asyncCheck, closeSocket, recv, runForever, send } from "../../src/index.ts";
import { listenOnLoopback, readBytes } from "./ours-listen.ts";

const serve = async(async (client: AsyncFD) => {
  for (;;) {
    const data = await recv(client, readBytes);
    if (data.length === 0) break;
    await send(client, data);
  }
  closeSocket(client);
});

const listenLoop = async(async (server: AsyncFD) => {
  for (;;) asyncCheck(serve(await accept(server)));
});

asyncCheck(listenLoop(listenOnLoopback()));
runForever();
