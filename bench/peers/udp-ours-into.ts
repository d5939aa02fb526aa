// Datagrams with memory of one's own: one buffer and one address for all of them.
import {
  async,
  bindAddr,
  createAsyncNativeSocket,
  Domain,
  getLocalAddr,
  recvFromInto,
  SockAddr,
  SockType,
  sendTo,
  waitFor,
} from "../../src/index.ts";

const serve = async(function* () {
  const buffer = Buffer.allocUnsafeSlow(Number(process.argv[2] ?? 16384));
  const from = new SockAddr();
  for (;;) {
    const size = yield* recvFromInto(server, buffer, buffer.length, from);
    yield* sendTo(server, buffer.subarray(0, size), from);
  }
});

const server = createAsyncNativeSocket(Domain.AF_INET, SockType.SOCK_DGRAM);
bindAddr(server, "127.0.0.1", 0);
console.log(`port ${getLocalAddr(server)[1]}`);
waitFor(serve());
