// Datagrams: a server that sends back whatever it receives, and a client, in one thread and one event loop.
//
//   bun run examples/udp-echo.ts          # both, then it ends
//   bun run examples/udp-echo.ts <port>   # only the server; talk to it with `nc -u 127.0.0.1 <port>`, Ctrl-C ends it
import {
  type AsyncFD,
  async,
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  Domain,
  getLocalAddr,
  or,
  type Port,
  recvFrom,
  recvFromInto,
  SockAddr,
  SockType,
  sendTo,
  waitFor,
  withTimeout,
} from "asyncdispatch";

const LARGEST = 65_535;
const ANSWER_TIMEOUT_MS = 500;
const MAX_ATTEMPTS = 3;

function openSocket(port: Port): AsyncFD {
  const socket = createAsyncNativeSocket(Domain.AF_INET, SockType.SOCK_DGRAM);
  bindAddr(socket, "127.0.0.1", port);
  return socket;
}

// One socket has all the clients. Memory and address are used again for each datagram, which costs no allocation;
// `sendTo` copies the address when it has to wait.
const serve = async(function* (socket: AsyncFD) {
  const buffer = Buffer.alloc(LARGEST);
  const from = new SockAddr();
  for (;;) {
    const size = yield* recvFromInto(socket, buffer, buffer.length, from);
    console.log(`server: ${size} bytes from ${from.address} port ${from.port}`);
    try {
      yield* sendTo(socket, buffer.subarray(0, size), from);
    } catch (error) {
      console.log(`server: ${(error as Error).message}`); // one client that cannot be reached is not the server's end
    }
  }
});

// A datagram may be lost on its way: who wants an answer has to ask again.
const ask = async(function* (socket: AsyncFD, server: SockAddr, question: string) {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    yield* sendTo(socket, question, server);
    const answer = recvFrom(socket, LARGEST);
    if (yield* withTimeout(answer, ANSWER_TIMEOUT_MS)) return answer.read().data.toString();
    answer.cancel(); // else it would take the answer to the next question
  }
  throw new Error(`no answer after ${MAX_ATTEMPTS} attempts`);
});

const talk = async(function* (port: Port) {
  const socket = openSocket(0);
  const server = SockAddr.of("127.0.0.1", port);
  for (const message of ["hello", "how are you?", ""]) {
    const answer = yield* ask(socket, server, message);
    console.log(`client: received ${JSON.stringify(answer)}`);
  }
  closeSocket(socket);
});

const [wanted] = process.argv.slice(2);
const socket = openSocket(Number(wanted ?? 0)); // 0: the system chooses
const [address, port] = getLocalAddr(socket);
console.log(`server: waiting for datagrams on ${address} port ${port}`);
const serving = serve(socket);
if (wanted === undefined) {
  // Whichever ends first: the client, or the server by an error.
  waitFor(or(talk(port), serving));
  serving.cancel();
  closeSocket(socket);
  console.log("done");
} else {
  waitFor(serving);
}
