import { Domain, type Port } from "./address.ts";
import * as connections from "./asyncdispatch/connections.ts";
import * as sockets from "./asyncdispatch/sockets.ts";
import { type InheritableOption, type Protocol, requireInteger, SockType } from "./asyncdispatch/sockets.ts";
import type { Future } from "./asyncfutures.ts";
import { async } from "./asyncmacro.ts";
import { AsyncSocket } from "./asyncsocket.ts";
import type { CancelOption } from "./cancellation.ts";
import { requireOptions, typeName } from "./errors.ts";
import type { AsyncFD } from "./native/selector.ts";

export { AsyncSocket, type LineOptions } from "./asyncsocket.ts";
export { MAX_LINE_LENGTH } from "./bytereaders.ts";

/** Whether an {@link AsyncSocket} reads ahead. */
export interface BufferedOption {
  /** By default it does. Only a stream can: with datagrams this is of no account. */
  readonly buffered?: boolean | undefined;
}

/** Options of {@link newAsyncSocket} for a new socket. */
export interface AsyncSocketOptions extends BufferedOption, InheritableOption {}

/** A socket for {@link newAsyncSocket} that there is already. */
export interface WrappedSocket extends BufferedOption {
  /** Its descriptor, registered with the global dispatcher; from now on the AsyncSocket closes it. */
  readonly fd: AsyncFD;
}

/**
 * Makes a socket, non-blocking and registered with the global dispatcher. Nim: `newAsyncSocket`.
 *
 * @param protocol by default TCP for a stream and UDP for datagrams, where the domain is an Internet's
 * @throws OSError when the system refuses; TypeError, ValueError for a wrong argument
 */
export function newAsyncSocket(
  domain?: Domain,
  sockType?: SockType,
  protocol?: Protocol,
  options?: AsyncSocketOptions,
): AsyncSocket;
/**
 * Makes an AsyncSocket of a socket that there is already and that nobody else reads; what kind it is, the system
 * tells. Its blocking mode stays as it is: receiving and sending never block, `accept` and `connect` need a
 * non-blocking one. Nim: `newAsyncSocket(fd, …)`.
 *
 * @throws OSError `EBADF`, `ENOTSOCK`; TypeError, ValueError for a wrong argument
 */
export function newAsyncSocket(socket: WrappedSocket): AsyncSocket;
export function newAsyncSocket(
  domain: Domain | WrappedSocket = Domain.AF_INET,
  sockType: SockType = SockType.SOCK_STREAM,
  protocol?: Protocol,
  options: AsyncSocketOptions = {},
): AsyncSocket {
  if (domain !== null && typeof domain === "object") return wrap(domain.fd, requireBuffered(domain));
  const buffered = requireBuffered(options);
  const fd = sockets.createAsyncNativeSocket(domain, sockType, protocol, options);
  return new AsyncSocket(fd, domain, sockType, protocol ?? sockets.defaultProtocol(domain, sockType), buffered);
}

function wrap(fd: AsyncFD, buffered: boolean): AsyncSocket {
  // Of another type it would be looked up as something else.
  requireInteger(fd, 0, 2 ** 31 - 1);
  const domain = sockets.domainOf(fd);
  const sockType = sockets.sockTypeOf(fd);
  return new AsyncSocket(fd, domain, sockType, sockets.defaultProtocol(domain, sockType), buffered);
}

function requireBuffered(options: BufferedOption): boolean {
  requireOptions(options);
  const { buffered = true } = options;
  if (typeof buffered !== "boolean") throw new TypeError(`buffered is true or false, got ${typeName(buffered)}`);
  return buffered;
}

/**
 * Makes a socket and connects it to a host; see `dial` of `asyncdispatch`. Without TLS. Nim: `dial`.
 *
 * @returns fails as `dial` of `asyncdispatch` does
 * @throws ValueError when the port is out of range; TypeError for a wrong type
 * @example
 * using socket = yield* dial("example.com", 80);
 */
export function dial(
  address: string,
  port: Port,
  protocol?: Protocol,
  options: BufferedOption & CancelOption = {},
): Future<AsyncSocket> {
  const buffered = requireBuffered(options);
  return wrapDialled(connections.dial(address, port, protocol, options), buffered);
}

const wrapDialled = async(function* dial(dialled: Future<AsyncFD>, buffered: boolean) {
  return wrap(yield* dialled, buffered);
});
