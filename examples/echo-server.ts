// An echo server: whatever a client sends comes back.
//
//   bun run examples/echo-server.ts [port]
//
// Talk to it with `nc 127.0.0.1 <port>` or with echo-client.ts. Ctrl-C ends it.
import {
  type AsyncFD,
  accept,
  async,
  asyncCheck,
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  getLocalAddr,
  getPeerAddr,
  listen,
  OSError,
  recv,
  runForever,
  SOBool,
  send,
  setSockOpt,
} from "asyncdispatch";

const serve = async(function* (client: AsyncFD, name: string) {
  console.log(`${name} connected`);
  let bytes = 0;
  try {
    for (;;) {
      const data = yield* recv(client, 65_536);
      if (data.length === 0) break;
      bytes += data.length;
      // Waiting for `send` before the next `recv` makes a client that reads slowly slow down only itself.
      yield* send(client, data);
    }
  } catch (error) {
    console.log(`${name}: ${(error as Error).message}`); // one broken connection is not the server's end
  } finally {
    closeSocket(client);
    console.log(`${name} left after ${bytes} bytes`);
  }
});

const acceptClients = async(function* (listener: AsyncFD) {
  for (;;) {
    try {
      const client = yield* accept(listener);
      asyncCheck(serve(client, nameOf(client)));
    } catch (error) {
      if (!(error instanceof OSError)) throw error;
      // Out of descriptors, for example: the client waits in the backlog until there is one again.
      console.log(`cannot accept: ${error.message}`);
    }
  }
});

function nameOf(client: AsyncFD): string {
  try {
    return getPeerAddr(client).join(":");
  } catch (error) {
    if (error instanceof OSError) return "a client that has gone already";
    throw error;
  }
}

const listener = createAsyncNativeSocket();
setSockOpt(listener, SOBool.OptReuseAddr, true); // a restarted server gets its port back at once
bindAddr(listener, "127.0.0.1", Number(process.argv[2] ?? 0)); // 0: the system chooses
listen(listener);
console.log(`listening on 127.0.0.1 port ${getLocalAddr(listener)[1]}`);
asyncCheck(acceptClients(listener));
runForever(); // Bun's loop would drive it as well; nothing of Bun's runs here, and blocking is a little quicker
