// The generator form with a new Buffer and the text of the sender's address for every datagram.
import {
  async,
  bindAddr,
  createAsyncNativeSocket,
  Domain,
  getLocalAddr,
  recvFrom,
  SockAddr,
  SockType,
  sendTo,
  waitFor,
} from "../../src/index.ts";

const readBytes = Number(process.argv[2] ?? 16384);

const serve = async(function* () {
  for (;;) {
    const { data, address, port } = yield* recvFrom(server, readBytes);
    yield* sendTo(server, data, SockAddr.of(address, port));
  }
});

const server = createAsyncNativeSocket(Domain.AF_INET, SockType.SOCK_DGRAM);
bindAddr(server, "127.0.0.1", 0);
console.log(`port ${getLocalAddr(server)[1]}`);
waitFor(serve());
