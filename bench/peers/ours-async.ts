// The native async form.
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
  recv,
  runForever,
  SOBool,
  send,
  setSockOpt,
} from "../../src/index.ts";

const readBytes = Number(process.argv[2] ?? 16384);

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

const server = createAsyncNativeSocket();
setSockOpt(server, SOBool.OptReuseAddr, true);
bindAddr(server, "127.0.0.1", 0);
listen(server);
console.log(`port ${getLocalAddr(server)[1]}`);
asyncCheck(listenLoop(server));
runForever();
