import { Domain, endpointDetails, NativeAddress, type Port, requirePort } from "../address.ts";
import type { Future } from "../asyncfutures.ts";
import { async } from "../asyncmacro.ts";
import { type CancelOption, hasSignal, withSignal } from "../cancellation.ts";
import { getGlobalDispatcher } from "../dispatcher.ts";
import { AssertionDefect, CancelledError, OSError } from "../errors.ts";
import { Readiness } from "../native/abi.ts";
import { custody } from "../native/custody.ts";
import type { AsyncFD } from "../native/selector.ts";
import { callFailure, errno, isWindows, socket as native } from "../native/socket.ts";
import { type LookupRequest, resolve } from "../resolver.ts";
import type { Watch } from "../watch.ts";
import {
  createAsyncNativeSocket,
  domainOf,
  getSockOpt,
  type InheritableOption,
  inheritableOf,
  Protocol,
  protocolFor,
  registerOwn,
  requireAddress,
  requireInteger,
  SOBool,
  SockType,
  sockTypeFor,
  sockTypeOf,
  takePendingError,
} from "./sockets.ts";
import { flagsOf, isDisconnection, Operation, SocketFlag, startTaking, type TransferOptions } from "./transfer.ts";

/** Options of {@link accept}. */
export interface AcceptOptions extends TransferOptions, InheritableOption {}

/** Errors of one connection that was given up before it was accepted: the next one is waited for. */
const passingAcceptErrors = new Set<number | undefined>([
  errno.EAGAIN,
  errno.ECONNABORTED,
  errno.EPROTO,
  errno.ENETDOWN,
  errno.ENETUNREACH,
  errno.EHOSTUNREACH,
]);

/** Errors of a process or a system that has no room for another connection. */
const exhaustionErrors = new Set<number | undefined>([errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]);

/** How long no connection is accepted after the process ran out of descriptors. */
const ACCEPT_PAUSE_MS = 100;

const acceptedAddress = new NativeAddress();

class Accept<T> extends Operation<T> {
  private readonly inheritable: number;
  private readonly present: (client: AsyncFD) => T;

  constructor(flags: number, inheritable: number, present: (client: AsyncFD) => T) {
    super("accept", flags);
    this.inheritable = inheritable;
    this.present = present;
  }

  ready(watch: Watch): boolean {
    const accepted = native.socket_accept(custody.pointer, watch.fd, acceptedAddress.memory, this.inheritable);
    watch.mayHaveMore = accepted >= 0;
    if (accepted >= 0) this.finish(accepted as AsyncFD);
    else if (passingAcceptErrors.has(-accepted) || isDisconnection(this.flags, -accepted)) return false;
    else {
      this.fail(callFailure(accepted, "accept"));
      // The connection stays ready to be accepted: without a pause, a server that tries again would spin.
      if (exhaustionErrors.has(-accepted)) getGlobalDispatcher().pause(watch, Readiness.read, ACCEPT_PAUSE_MS);
    }
    return true;
  }

  private finish(client: AsyncFD): void {
    try {
      registerOwn(client);
    } catch (error) {
      this.fail(error as Error);
      return;
    }
    this.complete(this.present(client));
  }
}

/**
 * Waits for a connection on a listening socket and gives its socket: registered, non-blocking, not inherited by
 * children unless asked for. Several may wait; each connection goes to the one that has waited longest.
 * Connections that are given up before they are accepted are passed over. Nim: `accept`.
 *
 * @returns fails with `EMFILE`, `ENFILE`, `ENOBUFS` or `ENOMEM` when there is no room for another descriptor. The
 *   connection then stays in the backlog, and the socket is looked at again after 100 ms, so that a server that
 *   calls `accept` again does not spin. Fails with `EINVAL` when the socket does not listen.
 * @throws ValueError when the socket is not registered; TypeError for a wrong type
 */
export function accept(socket: AsyncFD, options?: AcceptOptions): Future<AsyncFD> {
  return startAccepting(socket, options, (client) => client);
}

/** As {@link accept}, with the peer's address as text, without its port. Nim: `acceptAddr`. */
export function acceptAddr(socket: AsyncFD, options?: AcceptOptions): Future<{ address: string; client: AsyncFD }> {
  return startAccepting(socket, options, (client) => ({ address: acceptedAddress.text, client }));
}

function startAccepting<T>(
  socket: AsyncFD,
  options: AcceptOptions | undefined,
  present: (client: AsyncFD) => T,
): Future<T> {
  const flags = flagsOf(options);
  const inheritable = inheritableOf(options);
  const watch = getGlobalDispatcher().watch(socket);
  if (options?.signal !== undefined) return withSignal(options, (rest) => startAccepting(socket, rest, present));
  const operation = new Accept(flags, inheritable, present);
  // There, a socket that does not listen is not ready to say so.
  if (!isWindows || getSockOpt(socket, SOBool.OptAcceptConn)) return startTaking(watch, operation);
  operation.fail(new OSError(errno.EINVAL, "accept"));
  return operation;
}

/** Waits for one connection attempt of a non-blocking socket. */
class Connect extends Operation<void> {
  private readonly target: NativeAddress;

  constructor(target: NativeAddress) {
    super("connect", SocketFlag.None);
    this.target = target;
  }

  ready({ fd }: Watch): boolean {
    const error = takePendingError(fd);
    if (error !== 0) {
      this.refuse(-error);
      return true;
    }
    // Also writable by an event that is older than this attempt: only a socket with a peer is connected.
    if (!isConnected(fd)) return false;
    this.complete();
    return true;
  }

  refuse(result: number): void {
    this.fail(callFailure(result, "connect", this.target.details));
  }
}

function isConnected(socket: AsyncFD): boolean {
  return native.socket_peer_address(socket, acceptedAddress.memory) >= 0;
}

/** One attempt; the socket may have been closed, and its number reused, since its name was looked up. */
function connectOnce(watch: Watch, target: NativeAddress): Future<void> {
  const operation = new Connect(target);
  const result = watch.registered ? startConnecting(watch.fd, target) : -errno.EBADF;
  if (result === -errno.EINPROGRESS) getGlobalDispatcher().addWaiter(watch, Readiness.write, operation);
  else if (result < 0) operation.refuse(result);
  else operation.complete();
  return operation;
}

function startConnecting(socket: AsyncFD, target: NativeAddress): number {
  const result = native.socket_connect(socket, target.memory);
  // What Linux says once of a socket whose last attempt failed.
  return result === -errno.ECONNABORTED ? native.socket_connect(socket, target.memory) : result;
}

/**
 * Connects a socket. A name is looked up off this thread, and each of its addresses of the socket's domain is
 * tried in turn. A UNIX socket is connected to a path or an abstract name, which begins with a NUL, and to any
 * port. Nim: `connect`, `connectUnix`.
 *
 * @param domain the socket's own by default
 * @returns fails with the last error: an OSError (`ECONNREFUSED`, `ENOTFOUND`, `EISCONN`), or an IOError
 *   `Couldn't resolve address: …` when the name has no address of the domain. A UNIX socket's listener whose
 *   backlog is full is `EAGAIN`: nothing tells when there is room.
 * @throws AssertionDefect when `domain` is not the socket's
 * @throws ValueError when the socket is not registered or the port is out of range; TypeError for a wrong type
 */
export function connect(
  socket: AsyncFD,
  address: string,
  port: Port,
  domain?: Domain,
  options?: CancelOption,
): Future<void> {
  requireAddress(address);
  requirePort(port);
  const watch = getGlobalDispatcher().watch(socket);
  const actual = domainOf(socket);
  if (domain !== undefined && domain !== actual) {
    throw new AssertionDefect(`The socket's domain is ${actual}, not ${domain}`);
  }
  if (hasSignal(options)) return withSignal(options, () => connect(socket, address, port, domain));
  const socketType = sockTypeOf(socket);
  const request = { address, domain: actual, socketType, protocol: protocolFor(socketType) };
  return connectTo(watch, request, port);
}

const connectTo = async(function* connect(watch: Watch, request: LookupRequest, port: Port) {
  // Linux would call the next attempt of a connected socket a success.
  if (request.socketType === SockType.SOCK_STREAM && isConnected(watch.fd)) {
    throw new OSError(errno.EISCONN, "connect", endpointDetails(request.domain, request.address, port));
  }
  return yield* tryEachAddress(request, port, (target) => connectOnce(watch, target));
});

/**
 * Looks a host up and makes an attempt with each of its addresses in turn, until one succeeds; within a procedure.
 *
 * @returns the value of the attempt that succeeded; raises the error of the lookup, or of the last attempt
 */
export function* tryEachAddress<T>(
  request: LookupRequest,
  port: Port,
  attempt: (target: NativeAddress) => Future<T>,
): Generator<Future<unknown>, T> {
  let last: unknown;
  for (const target of yield* resolve(getGlobalDispatcher(), request)) {
    target.port = port;
    try {
      return yield* attempt(target);
    } catch (error) {
      // Nobody wants the next one.
      if (error instanceof CancelledError || (error as { code?: unknown }).code === "ECANCELED") throw error;
      last = error;
    }
  }
  throw last;
}

/**
 * Makes a socket and connects it to a host: IPv4 or IPv6, each of the host's addresses in turn. The name is
 * looked up off this thread. An address with a `/` in it, or with a NUL at its beginning, is a UNIX socket's path
 * or abstract name, whose port is of no account; with `IPPROTO_UDP`, one for datagrams. Nim: `dial`.
 *
 * @returns the connected, registered socket; fails as {@link connect} does, with no descriptor left
 * @throws ValueError when the port is out of range; TypeError for a wrong type
 * @example
 * const socket = yield* dial("example.com", 80);
 */
export function dial(
  address: string,
  port: Port,
  protocol: Protocol = Protocol.IPPROTO_TCP,
  options?: CancelOption,
): Future<AsyncFD> {
  requireAddress(address);
  requirePort(port);
  requireInteger(protocol, 0, 255);
  if (hasSignal(options)) return withSignal(options, () => dial(address, port, protocol));
  return dialTo({ address, domain: Domain.AF_UNSPEC, socketType: sockTypeFor(protocol), protocol }, port);
}

const dialTo = async(function* dial(request: LookupRequest, port: Port) {
  return yield* tryEachAddress(request, port, (target) => dialOnce(target, request));
});

const dialOnce = async(function* dialAddress(target: NativeAddress, { socketType, protocol }: LookupRequest) {
  const spoken = target.domain === Domain.AF_UNIX ? Protocol.IPPROTO_IP : (protocol as Protocol);
  const dispatcher = getGlobalDispatcher();
  const socket = createAsyncNativeSocket(target.domain, socketType as SockType, spoken);
  const watch = dispatcher.watch(socket);
  try {
    yield* connectOnce(watch, target);
    return socket;
  } catch (error) {
    // A dispatcher that is closed has unregistered the socket already.
    if (watch.registered) dispatcher.unregister(watch, undefined, true);
    native.descriptor_close(custody.pointer, socket);
    throw error;
  }
});
