import {
  Domain,
  endpointDetails,
  isUnixPath,
  NativeAddress,
  type Port,
  requirePort,
  requireUnixPath,
} from "../address.ts";
import { getGlobalDispatcher } from "../dispatcher.ts";
import { OSError, requireOptions, typeName, ValueError } from "../errors.ts";
import { Option, SocketType } from "../native/abi.ts";
import { custody } from "../native/custody.ts";
import type { AsyncFD } from "../native/selector.ts";
import { errno, socket as native, succeeded } from "../native/socket.ts";
import { requireDescriptor } from "../reactor.ts";
import { resolveNow } from "../resolver.ts";
import { takeAll, type Watch } from "../watch.ts";

/** Kinds of sockets. Nim: `SockType`. */
export const SockType = {
  SOCK_STREAM: SocketType.stream,
  SOCK_DGRAM: SocketType.datagram,
  SOCK_RAW: SocketType.raw,
} as const;
export type SockType = (typeof SockType)[keyof typeof SockType];

/** IANA's protocol numbers. Nim: `Protocol`. */
export const Protocol = {
  IPPROTO_IP: 0,
  IPPROTO_ICMP: 1,
  IPPROTO_TCP: 6,
  IPPROTO_UDP: 17,
  IPPROTO_IPV6: 41,
  IPPROTO_ICMPV6: 58,
  IPPROTO_RAW: 255,
} as const;
export type Protocol = (typeof Protocol)[keyof typeof Protocol];

/** Socket options that are on or off. Nim: `SOBool`. */
export const SOBool = {
  OptAcceptConn: Option.acceptConn,
  OptBroadcast: Option.broadcast,
  OptDebug: Option.debug,
  OptDontRoute: Option.dontRoute,
  OptKeepAlive: Option.keepAlive,
  OptOOBInline: Option.oobInline,
  OptReuseAddr: Option.reuseAddr,
  OptReusePort: Option.reusePort,
  OptNoDelay: Option.noDelay,
} as const;
export type SOBool = (typeof SOBool)[keyof typeof SOBool];

/** Socket options with a number: buffer sizes in bytes; lingering in seconds, 0 resets on close, -1 is off. */
export const SOInt = {
  OptSendBuffer: Option.sendBuffer,
  OptRecvBuffer: Option.receiveBuffer,
  OptLinger: Option.linger,
} as const;
export type SOInt = (typeof SOInt)[keyof typeof SOInt];

const booleanOptions = new Set<number>(Object.values(SOBool));
const integerOptions = new Set<number>(Object.values(SOInt));

/** The backlog that is asked for by default; the system lowers it to its own limit (`somaxconn`). */
const DEFAULT_BACKLOG = 4096;

/** Whether a child process inherits a descriptor; by default it does not. */
export interface InheritableOption {
  readonly inheritable?: boolean;
}

/**
 * A new non-blocking socket, registered with the global dispatcher. Nim: `createAsyncNativeSocket`.
 *
 * @param protocol by default TCP for a stream and UDP for datagrams, where the domain is an Internet's
 * @throws OSError when the system refuses (`EMFILE`, `EAFNOSUPPORT`, `EPROTONOSUPPORT`)
 * @throws TypeError, ValueError for a wrong argument
 */
export function createAsyncNativeSocket(
  domain: Domain = Domain.AF_INET,
  sockType: SockType = SockType.SOCK_STREAM,
  protocol: Protocol = defaultProtocol(domain, sockType),
  options: InheritableOption = {},
): AsyncFD {
  for (const number of [domain, sockType, protocol]) requireInteger(number, 0, 0xffff);
  requireOptions(options);
  const result = native.socket_open(custody.pointer, domain, sockType, protocol, inheritableOf(options));
  const fd = succeeded(result, "socket") as AsyncFD;
  registerOwn(fd);
  return fd;
}

/** What the native library is told of the option; @throws TypeError when it is not a boolean. */
export function inheritableOf({ inheritable = false }: InheritableOption = {}): number {
  return inheritableFlag(inheritable);
}

function inheritableFlag(inheritable: unknown): number {
  if (typeof inheritable !== "boolean") {
    throw new TypeError(`inheritable is true or false, got ${typeName(inheritable)}`);
  }
  return Number(inheritable);
}

/** Registers a descriptor that this library opened, and closes it when that fails. */
export function registerOwn(fd: AsyncFD): void {
  try {
    getGlobalDispatcher().registerOpened(fd, true);
  } catch (error) {
    native.descriptor_close(custody.pointer, fd);
    throw error;
  }
}

/** The protocol of a new socket when none is asked for. */
export function defaultProtocol(domain: Domain, sockType: SockType): Protocol {
  if (domain === Domain.AF_UNIX) return Protocol.IPPROTO_IP;
  return protocolFor(sockType);
}

/** The protocol that a kind of socket speaks by default. */
export function protocolFor(sockType: SockType): Protocol {
  if (sockType === SockType.SOCK_STREAM) return Protocol.IPPROTO_TCP;
  return sockType === SockType.SOCK_DGRAM ? Protocol.IPPROTO_UDP : Protocol.IPPROTO_RAW;
}

/** The kind of socket that speaks a protocol. Nim: `toSockType`. */
export function sockTypeFor(protocol: Protocol): SockType {
  if (protocol === Protocol.IPPROTO_TCP) return SockType.SOCK_STREAM;
  return protocol === Protocol.IPPROTO_UDP ? SockType.SOCK_DGRAM : SockType.SOCK_RAW;
}

/**
 * Gives a socket its local address. Nim: `bindAddr`, `bindUnix`.
 *
 * A path makes a file, which stays when the socket is closed: the next `bindAddr` gives `EADDRINUSE` until it is
 * deleted. An abstract name (Linux) begins with a NUL and leaves no file.
 *
 * @param address numeric, `""` for every address, or a name, which is looked up while this thread waits; for a
 *   UNIX socket a path or an abstract name
 * @param port 0 lets the system choose; see {@link getLocalAddr}. A UNIX socket has none
 * @throws OSError `EADDRINUSE`, `EACCES`, `ENOTFOUND` and the like; `EAFNOSUPPORT` for a path and another socket
 * @throws TypeError, ValueError for a wrong address or port
 */
export function bindAddr(socket: AsyncFD, address: string, port: Port): void {
  requireDescriptor(socket);
  requireAddress(address);
  requirePort(port);
  const domain = domainOf(socket);
  const sockType = sockTypeOf(socket);
  if (address === "" && domain === Domain.AF_UNIX) {
    throw new ValueError("Unknown socket address family and no address specified to bindAddr");
  }
  const bound =
    address === ""
      ? NativeAddress.any(domain, port)
      : (resolveNow({ address, domain, socketType: sockType, protocol: protocolFor(sockType) })[0] as NativeAddress);
  bound.port = port;
  succeeded(native.socket_bind(socket, bound.memory), "bind", endpointDetails(bound.domain, address, port));
}

/**
 * Lets a bound socket accept connections. Nim: `listen`.
 *
 * @param backlog how many connections may wait to be accepted
 * @throws OSError `EADDRINUSE`, `EOPNOTSUPP`
 */
export function listen(socket: AsyncFD, backlog = DEFAULT_BACKLOG): void {
  requireDescriptor(socket);
  requireInteger(backlog, 0, 2 ** 31 - 1);
  succeeded(native.socket_listen(socket, backlog), "listen");
}

/**
 * The local address and port of a socket; of a UNIX socket its path, `""` when it has none, and 0.
 * Nim: `getLocalAddr`.
 *
 * @throws OSError `EBADF`, `ENOTSOCK`
 */
export function getLocalAddr(fd: AsyncFD): [string, Port] {
  requireDescriptor(fd);
  const address = new NativeAddress();
  succeeded(native.socket_local_address(fd, address.memory), "getsockname");
  return [address.text, address.port];
}

/**
 * The address and port of the peer, as {@link getLocalAddr} gives them. Nim: `getPeerAddr`.
 *
 * @throws OSError `ENOTCONN`, `EBADF`, `ENOTSOCK`
 */
export function getPeerAddr(fd: AsyncFD): [string, Port] {
  requireDescriptor(fd);
  const address = new NativeAddress();
  succeeded(native.socket_peer_address(fd, address.memory), "getpeername");
  return [address.text, address.port];
}

/**
 * Sets an option of a socket. Nim: `setSockOpt`.
 *
 * @throws OSError when the system refuses
 * @throws TypeError for a value of the wrong type; ValueError for an unknown option or a number out of range
 */
export function setSockOpt(fd: AsyncFD, option: SOBool, value: boolean): void;
export function setSockOpt(fd: AsyncFD, option: SOInt, value: number): void;
export function setSockOpt(fd: AsyncFD, option: SOBool | SOInt, value: boolean | number): void {
  requireDescriptor(fd);
  if (isBooleanOption(option)) {
    if (typeof value !== "boolean") throw new TypeError(`This option is true or false, got ${typeName(value)}`);
  } else {
    requireInteger(value, option === SOInt.OptLinger ? -1 : 0, 2 ** 31 - 1);
  }
  succeeded(native.socket_set_option(fd, option, Number(value)), "setsockopt");
}

/**
 * Reads an option of a socket. Nim: `getSockOpt`.
 *
 * @throws OSError when the system refuses; ValueError for an unknown option
 */
export function getSockOpt(fd: AsyncFD, option: SOBool): boolean;
export function getSockOpt(fd: AsyncFD, option: SOInt): number;
export function getSockOpt(fd: AsyncFD, option: SOBool | SOInt): boolean | number {
  requireDescriptor(fd);
  const isBoolean = isBooleanOption(option);
  const value = readOption(fd, option);
  return isBoolean ? value !== 0 : value;
}

/**
 * Whether child processes inherit a descriptor; true on success. Nim: `setInheritable`.
 *
 * @throws TypeError, ValueError for a wrong argument
 */
export function setInheritable(fd: AsyncFD, inheritable: boolean): boolean {
  requireDescriptor(fd);
  return native.descriptor_set_inheritable(fd, inheritableFlag(inheritable)) >= 0;
}

/**
 * Unregisters and closes a socket. Operations waiting for it fail with `EBADF`, without another system call;
 * callbacks of `addRead` and `addWrite` are called a last time, while the number still names a dead descriptor,
 * so that their own calls fail with `EBADF` and cannot reach a descriptor that reuses the number.
 * Nim: `closeSocket`.
 *
 * @throws ValueError `File descriptor not registered.`
 * @throws ValueError when such a callback wants to go on (the socket is closed all the same)
 */
export function closeSocket(socket: AsyncFD): void {
  const dispatcher = getGlobalDispatcher();
  const watch = dispatcher.watch(socket);
  dispatcher.forget(watch, true);
  try {
    if (watch.readers !== undefined || watch.writers !== undefined) dismissWaiters(watch);
  } finally {
    native.descriptor_close(custody.pointer, socket);
  }
}

function dismissWaiters(watch: Watch): void {
  const waiters = [...takeAll(watch.readers), ...takeAll(watch.writers)];
  watch.readers = undefined;
  watch.writers = undefined;
  const error = new OSError(errno.EBADF, "close");
  const callbacks = waiters.filter((waiter) => !waiter.abandon(error));
  if (callbacks.length === 0) return;
  native.socket_bury(watch.fd);
  const problems: unknown[] = [];
  for (const callback of callbacks) {
    try {
      if (!callback.ready(watch)) {
        problems.push(new ValueError("Expecting async operations to stop when fd has closed."));
      }
    } catch (problem) {
      problems.push(problem);
    }
  }
  if (problems.length > 0) throw problems[0];
}

/** @throws OSError when the system does not tell */
export function domainOf(socket: AsyncFD): Domain {
  return readOption(socket, Option.domain) as Domain;
}

/** @throws OSError when the system does not tell */
export function sockTypeOf(socket: AsyncFD): SockType {
  return readOption(socket, Option.socketType) as SockType;
}

/** Reads and clears the pending error of a socket: 0 or a positive errno. */
export function takePendingError(socket: AsyncFD): number {
  return readOption(socket, Option.pendingError);
}

const optionValue = new Int32Array(1);

function readOption(fd: AsyncFD, option: number): number {
  succeeded(native.socket_get_option(fd, option, optionValue), "getsockopt");
  return optionValue[0] as number;
}

function isBooleanOption(option: unknown): boolean {
  if (booleanOptions.has(option as number)) return true;
  if (integerOptions.has(option as number)) return false;
  throw new ValueError(`${String(option)} is not a socket option`);
}

/** @throws TypeError when it is not a string; ValueError when it is a path that no UNIX socket can have */
export function requireAddress(address: unknown): void {
  if (typeof address !== "string") throw new TypeError(`Expected an address, got ${typeName(address)}`);
  if (isUnixPath(address)) requireUnixPath(address);
}

/** @throws TypeError when it is not a number; ValueError when it is not an integer in the range */
export function requireInteger(value: unknown, min: number, max: number): void {
  if (typeof value !== "number") throw new TypeError(`Expected a number, got ${typeName(value)}`);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new ValueError(`${value} is not an integer from ${min} to ${max}`);
  }
}
