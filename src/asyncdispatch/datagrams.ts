import { Domain, NativeAddress, type Port } from "../address.ts";
import { Future } from "../asyncfutures.ts";
import { withSignal } from "../cancellation.ts";
import { getGlobalDispatcher, SYNCHRONOUS_BUDGET } from "../dispatcher.ts";
import { AssertionDefect, typeName, ValueError } from "../errors.ts";
import { Option, Readiness, SocketType } from "../native/abi.ts";
import type { AsyncFD } from "../native/selector.ts";
import { callFailure, errno, socket as native } from "../native/socket.ts";
import { SockAddr } from "../sockaddr.ts";
import type { Watch } from "../watch.ts";
import { requireInteger } from "./sockets.ts";
import {
  bytesOf,
  copyOf,
  flagsOf,
  MAX_TRANSFER_SIZE,
  Operation,
  receiveArena,
  SocketFlag,
  startTaking,
  type TransferOptions,
} from "./transfer.ts";

/** A datagram that {@link recvFrom} received. */
export class Datagram {
  readonly data: Buffer;
  /** Who sent it: the address as text, without its port; `""` when the sender has no name. */
  readonly address: string;
  readonly port: Port;
  readonly #fullSize: number;

  /** @internal */
  constructor(data: Buffer, sender: NativeAddress, fullSize: number) {
    this.data = data;
    this.address = sender.text;
    this.port = sender.port;
    this.#fullSize = fullSize;
  }

  /** Whether it was longer than what was asked for, so that its end is lost. */
  get truncated(): boolean {
    return this.#fullSize > this.data.length;
  }

  /** How many bytes were sent. */
  get fullSize(): number {
    return this.#fullSize;
  }
}

/**
 * How long a socket is left alone that was called writable and took nothing: a UNIX socket is writable while the
 * queue of the one that it sends to is full, and no event tells when that has room.
 */
const FULL_QUEUE_PAUSE_MS = 1;

/** Waits for a datagram; what becomes of it is up to `receive`. */
abstract class ReceiveOperation<T> extends Operation<T> {
  ready(watch: Watch): boolean {
    const fullSize = this.receive(watch.fd);
    watch.mayHaveMore = fullSize >= 0;
    if (fullSize === -errno.EAGAIN) return false;
    if (fullSize >= 0) this.finish(fullSize);
    else this.fail(callFailure(fullSize, "recvfrom"));
    return true;
  }

  /** Makes the call: the full size of the datagram, or a negative code. */
  protected abstract receive(fd: AsyncFD): number;

  protected abstract finish(fullSize: number): void;
}

/** Whose the datagram in the arena is. */
const sender = new NativeAddress();

class ReceiveFrom extends ReceiveOperation<Datagram> {
  private readonly size: number;

  constructor(size: number, flags: number) {
    super("recvFrom", flags);
    this.size = size;
  }

  protected receive(fd: AsyncFD): number {
    const memory = receiveArena();
    return native.socket_receive_from(fd, memory, memory, this.size, this.flags, sender.memory);
  }

  protected finish(fullSize: number): void {
    const memory = receiveArena();
    const data = copyOf(memory, Math.min(fullSize, this.size, memory.length));
    this.complete(new Datagram(data, sender, fullSize));
  }
}

class ReceiveFromInto extends ReceiveOperation<number> {
  private readonly buffer: ArrayBufferView;
  private readonly size: number;
  private readonly from: SockAddr;

  constructor(buffer: ArrayBufferView, size: number, from: SockAddr, flags: number) {
    super("recvFromInto", flags);
    this.buffer = buffer;
    this.size = size;
    this.from = from;
  }

  override ready(watch: Watch): boolean {
    if (this.buffer.byteLength >= this.size) return super.ready(watch);
    this.fail(new ValueError("recvFromInto: the buffer was detached or shrank while waiting"));
    return true;
  }

  protected receive(fd: AsyncFD): number {
    const view = this.buffer as NodeJS.TypedArray;
    return native.socket_receive_from(fd, view, view, this.size, this.flags, this.from.native.memory);
  }

  protected finish(fullSize: number): void {
    this.from.truncated = fullSize > this.size;
    this.complete(Math.min(fullSize, this.size));
  }
}

/** The future of every datagram that was sent at once: finished, it never changes, so one is enough. */
const sent = new Future<void>("sendTo");
sent.complete();

class SendTo extends Operation<void> {
  private readonly data: NodeJS.TypedArray | DataView;
  private readonly size: number;
  private readonly target: NativeAddress;

  constructor(data: NodeJS.TypedArray | DataView, to: SockAddr) {
    super("sendTo", SocketFlag.None);
    this.data = data;
    this.size = data.byteLength;
    // The caller may receive into its address before this is sent.
    this.target = new NativeAddress(to.native.memory.slice());
  }

  ready(watch: Watch): boolean {
    const { data } = this;
    if (data.byteLength < this.size) {
      this.fail(new ValueError("sendTo: the data was detached or shrank while waiting"));
      return true;
    }
    if (this.take(native.socket_send_to(watch.fd, data, data, this.target.memory, 0))) return true;
    getGlobalDispatcher().pause(watch, Readiness.write, FULL_QUEUE_PAUSE_MS);
    return false;
  }

  /** Notes the result of a call: false when it must be made again. */
  take(result: number): boolean {
    if (result === -errno.EAGAIN) return false;
    if (result >= 0) this.complete();
    else this.fail(callFailure(result, "sendto", this.target.details));
    return true;
  }
}

/**
 * Waits for a datagram and gives it, with its sender's address. An empty one is a datagram like another: nothing
 * tells the end of a datagram socket. What does not fit into `size` is lost, which `truncated` tells.
 * Nim: `recvFrom`.
 *
 * @param size bytes; of one datagram at most 512 KiB are given
 * @param options `Peek` leaves the datagram in the socket; `SafeDisconn` has no meaning here
 * @returns fails with an OSError: `ECONNREFUSED` when an earlier datagram of a connected socket was refused, `EBADF`
 *   when the socket is closed, `ECANCELED` when it is unregistered meanwhile, `ENOTSOCK`. Cancelled, it fails with
 *   a CancelledError, and no datagram is lost.
 * @throws AssertionDefect for a stream's socket
 * @throws ValueError when the socket is not registered or `size` is out of range; TypeError for a wrong type
 */
export function recvFrom(socket: AsyncFD, size: number, options?: TransferOptions): Future<Datagram> {
  requireInteger(size, 0, MAX_TRANSFER_SIZE);
  const flags = flagsOf(options);
  const watch = watchOf(socket, "recvFrom");
  if (options?.signal !== undefined) return withSignal(options, (rest) => recvFrom(socket, size, rest));
  return startTaking(watch, new ReceiveFrom(size, flags));
}

/**
 * As {@link recvFrom}, into memory of the caller, which must stay as it is until the future is finished.
 * Nim: `recvFromInto`.
 *
 * @param size at most how many bytes are stored
 * @param from is filled with the sender's address, and its `truncated` with whether the datagram was longer
 * @returns how many bytes were stored, 0 for an empty datagram; fails as {@link recvFrom} does
 * @throws ValueError when the socket is not registered or `size` exceeds the buffer; TypeError for a wrong type
 */
export function recvFromInto(
  socket: AsyncFD,
  buffer: ArrayBufferView,
  size: number,
  from: SockAddr,
  options?: TransferOptions,
): Future<number> {
  if (!ArrayBuffer.isView(buffer)) throw new TypeError(`Expected a typed array, got ${typeName(buffer)}`);
  requireInteger(size, 0, Math.min(buffer.byteLength, MAX_TRANSFER_SIZE));
  requireSockAddr(from);
  const flags = flagsOf(options);
  const watch = watchOf(socket, "recvFromInto");
  if (options?.signal !== undefined)
    return withSignal(options, (rest) => recvFromInto(socket, buffer, size, from, rest));
  return startTaking(watch, new ReceiveFromInto(buffer, size, from, flags));
}

/** @throws as its callers, for what is no registered socket for datagrams */
function watchOf(socket: AsyncFD, name: string): Watch {
  const watch = getGlobalDispatcher().watch(socket);
  if (!watch.keepsBoundaries) requireBoundaries(watch, name, "`recv` or `recvInto`");
  return watch;
}

/**
 * Sends one datagram, after everything sent before on this socket. It is sent at once where the system takes it, and
 * the future is then finished at return. Memory that is passed must stay as it is until the future is finished; the
 * address is copied. Nim: `sendTo`.
 *
 * That it was sent does not mean that it arrives. A UNIX socket waits while the queue of the other one is full.
 *
 * @param data a string is sent as UTF-8; an empty one is an empty datagram
 * @param options flags have no meaning here
 * @returns fails with an OSError: `EMSGSIZE` for a datagram that is too large, `ECONNREFUSED` when an earlier one of
 *   a connected socket was refused or nobody has the path, `EAFNOSUPPORT`, `EACCES` (a broadcast without
 *   `OptBroadcast`), `ENETUNREACH`, else as {@link recvFrom} does
 * @throws AssertionDefect for a stream's socket
 * @throws ValueError when the socket is not registered or `to` is of nobody; TypeError for a wrong type
 */
export function sendTo(
  socket: AsyncFD,
  data: string | ArrayBufferView | ArrayBuffer,
  to: SockAddr,
  options?: TransferOptions,
): Future<void> {
  const bytes = bytesOf(data);
  requireSockAddr(to);
  if (to.family === Domain.AF_UNSPEC) throw new ValueError("sendTo: the address is empty");
  flagsOf(options);
  const dispatcher = getGlobalDispatcher();
  const watch = dispatcher.watch(socket);
  if (!watch.keepsBoundaries) requireBoundaries(watch, "sendTo", "`send`");
  if (options?.signal !== undefined) return withSignal(options, (rest) => sendTo(socket, data, to, rest));
  // One more than a receive may have, so that who answers each datagram waits for the next one, for which the selector
  // looks anyway, and not to send.
  const mayTry = watch.writers === undefined && watch.synchronousCompletions <= SYNCHRONOUS_BUDGET;
  const result = mayTry ? native.socket_send_to(socket, bytes, bytes, to.native.memory, 0) : -errno.EAGAIN;
  if (result >= 0) {
    watch.synchronousCompletions += 1;
    return sent;
  }
  const operation = new SendTo(bytes, to);
  if (!operation.take(result)) dispatcher.addWaiter(watch, Readiness.write, operation);
  return operation;
}

const optionValue = new Int32Array(1);

/**
 * Streams are refused: of one, Linux would throw the bytes away whose number it is asked for, and a part of what is
 * sent could stay behind. What is no socket fails with its call.
 */
function requireBoundaries(watch: Watch, name: string, instead: string): void {
  const result = native.socket_get_option(watch.fd, Option.socketType, optionValue);
  if (result >= 0 && optionValue[0] === SocketType.stream) {
    throw new AssertionDefect(`Cannot \`${name}\` on a TCP socket. Use ${instead} instead`);
  }
  watch.keepsBoundaries = true;
}

/** @throws TypeError when it is none */
function requireSockAddr(address: unknown): void {
  if (!(address instanceof SockAddr)) throw new TypeError(`Expected a SockAddr, got ${typeName(address)}`);
}
