import {
  type AsyncFD,
  accept,
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  dial,
  getLocalAddr,
  listen,
  SockAddr,
  SockType,
  waitFor,
} from "../src/index.ts";
import { closeAfterTest } from "./descriptors.ts";

/** A listening socket on a port of the loopback interface. */
export function listener(): { socket: AsyncFD; port: number } {
  const socket = closeAfterTest(createAsyncNativeSocket());
  bindAddr(socket, "127.0.0.1", 0);
  listen(socket);
  return { socket, port: getLocalAddr(socket)[1] };
}

/** Two registered sockets that are connected with each other. */
export function connectedPair(): [AsyncFD, AsyncFD] {
  const { socket, port } = listener();
  const dialled = dial("127.0.0.1", port);
  const accepted = closeAfterTest(waitFor(accept(socket)));
  const connected = closeAfterTest(waitFor(dialled));
  closeSocket(socket);
  return [connected, accepted];
}

/** A datagram socket on a free port of a loopback interface, or of an abstract name, and its address. */
export function datagramSocket(host = "127.0.0.1"): { socket: AsyncFD; address: SockAddr } {
  const { family } = SockAddr.of(host, 0);
  const socket = closeAfterTest(createAsyncNativeSocket(family, SockType.SOCK_DGRAM));
  bindAddr(socket, host, 0);
  return { socket, address: SockAddr.of(...getLocalAddr(socket)) };
}

let abstractNames = 0;

/** An abstract name that no other test has. */
export function abstractName(): string {
  return `\0asyncdispatch-test-${process.pid}-${++abstractNames}`;
}
