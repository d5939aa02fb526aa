import { type AsyncSocket, dial, newAsyncSocket } from "../src/asyncnet.ts";
import { Domain, Protocol, SockType } from "../src/index.ts";
import { closeAfterTest } from "./backends.ts";
import { waitFor } from "./bounded.ts";

/** Has the socket's descriptor closed after the test. */
export function own(socket: AsyncSocket): AsyncSocket {
  closeAfterTest(socket.getFd());
  return socket;
}

/** A listening socket on a free port of the loopback interface. */
export function server(buffered = true): { listener: AsyncSocket; port: number } {
  const stream = [Domain.AF_INET, SockType.SOCK_STREAM, Protocol.IPPROTO_TCP] as const;
  const listener = own(newAsyncSocket(...stream, { buffered }));
  listener.bindAddr(0, "127.0.0.1");
  listener.listen();
  return { listener, port: listener.getLocalAddr()[1] };
}

/** Two connected sockets. */
export function pair(buffered = true): [AsyncSocket, AsyncSocket] {
  const { listener, port } = server(buffered);
  const dialled = dial("127.0.0.1", port, undefined, { buffered });
  const accepted = own(waitFor(listener.accept()));
  const connected = own(waitFor(dialled));
  listener.close();
  return [connected, accepted];
}

/** An unconnected datagram socket on a free port. */
export function datagram(): { socket: AsyncSocket; port: number } {
  const socket = own(newAsyncSocket(Domain.AF_INET, SockType.SOCK_DGRAM));
  socket.bindAddr(0, "127.0.0.1");
  return { socket, port: socket.getLocalAddr()[1] };
}
