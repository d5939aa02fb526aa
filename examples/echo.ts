// An echo server and a client that talks to it, in one thread and one event loop.
//
//   bun run examples/echo.ts
import {
  type AsyncFD,
  accept,
  async,
  asyncCheck,
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  dial,
  getLocalAddr,
  listen,
  type Port,
  recv,
  send,
  waitFor,
} from "asyncdispatch";

// An asynchronous procedure is a generator in async(): `yield*` waits for a future and gives its value, and the
// loop serves others meanwhile. A call returns a future at once.
const serve = async(function* (client: AsyncFD) {
  for (;;) {
    const data = yield* recv(client, 4096);
    if (data.length === 0) break; // the client is gone
    console.log(`server: received ${JSON.stringify(data.toString())}`);
    yield* send(client, data);
  }
  closeSocket(client);
  console.log("server: the client closed its connection");
});

const talk = async(function* (port: Port) {
  const socket = yield* dial("127.0.0.1", port);
  console.log(`client: connected to port ${port}`);
  for (const message of ["hello", "how are you?", "bye"]) {
    yield* send(socket, message);
    console.log(`client: received ${JSON.stringify((yield* recv(socket, 4096)).toString())}`);
  }
  closeSocket(socket);
});

// Port 0 lets the system choose a free one.
const listener = createAsyncNativeSocket();
bindAddr(listener, "127.0.0.1", 0);
listen(listener);
const [address, port] = getLocalAddr(listener);
console.log(`server: listening on ${address} port ${port}`);

const echoOnce = async(function* () {
  yield* serve(yield* accept(listener));
});

// Nobody waits for the client's future; asyncCheck has an error in it thrown out of the loop, here by waitFor.
asyncCheck(talk(port));
// waitFor runs the loop until its future is finished.
waitFor(echoOnce());
closeSocket(listener);
console.log("done");
