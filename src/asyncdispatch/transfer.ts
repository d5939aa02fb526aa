import { Future } from "../asyncfutures.ts";
import { type CancelOption, withSignal } from "../cancellation.ts";
import { getGlobalDispatcher, SYNCHRONOUS_BUDGET } from "../dispatcher.ts";
import { type CancelledError, requireOptions, typeName, ValueError } from "../errors.ts";
import { Readiness, TransferFlag } from "../native/abi.ts";
import type { AsyncFD } from "../native/selector.ts";
import { callFailure, errno, isWindows, socket as native } from "../native/socket.ts";
import type { Waiter, Watch } from "../watch.ts";
import { requireInteger } from "./sockets.ts";

/**
 * How an operation treats a socket; flags combine with `|`. `Peek` leaves what is read in the socket.
 * `SafeDisconn` takes a peer that is gone (`ECONNRESET`, `EPIPE`, `ENETRESET`) as the end of the data: reading
 * gives nothing, and writing succeeds although what was written is lost. Nim: `SocketFlag`.
 */
export const SocketFlag = { None: 0, Peek: TransferFlag.peek, SafeDisconn: 2 } as const;

/** Options of every transfer. */
export interface TransferOptions extends CancelOption {
  /** {@link SocketFlag} values, combined with `|`; the default is `SafeDisconn`. */
  readonly flags?: number;
}

/**
 * How much is received at once. All sockets of a thread share one arena of this size, from which what arrived
 * is copied, so that a large `size` costs what arrives and not what was asked for.
 */
const ARENA_SIZE = 512 * 1024;

let arena: Buffer | undefined;

/** The arena: what is in it must be copied out before anything else is received. */
export function receiveArena(): Buffer {
  arena ??= Buffer.allocUnsafeSlow(ARENA_SIZE);
  return arena;
}

export const MAX_TRANSFER_SIZE = 2 ** 31 - 1;

/** What tells that a peer is gone. Of Windows's ECONNABORTED it is the cause. */
const disconnections = [errno.ECONNRESET, errno.EPIPE, errno.ENETRESET];
if (isWindows) disconnections.push(errno.ECONNABORTED);

/** Whether an error means that the peer is gone, and the caller takes that as the end. */
export function isDisconnection(flags: number, errorCode: number): boolean {
  return (flags & SocketFlag.SafeDisconn) !== 0 && disconnections.includes(errorCode);
}

/** The future of an operation that waits for its descriptor, and that waiter itself. */
export abstract class Operation<T> extends Future<T> implements Waiter {
  following: Waiter | undefined = undefined;
  sequence = 0;
  watch: Watch | undefined = undefined;
  protected readonly flags: number;

  constructor(name: string, flags: number) {
    super(name);
    this.flags = flags;
  }

  abstract ready(watch: Watch): boolean;

  abandon(error: Error): boolean {
    // The caller may have finished it.
    if (!this.finished) this.fail(error);
    return true;
  }

  protected override tryCancel(error: CancelledError): boolean {
    if (this.watch !== undefined) this.watch.owner.removeWaiter(this.watch, this);
    this.fail(error);
    return true;
  }
}

/**
 * Starts an operation that takes one connection or one datagram out of a socket. They come in bursts, and all of a
 * server's through one socket: after one, the next is tried for at once, and only then waited for.
 */
export function startTaking<T>(watch: Watch, operation: Operation<T>): Future<T> {
  const mayTry = watch.mayHaveMore && watch.readers === undefined && watch.synchronousCompletions < SYNCHRONOUS_BUDGET;
  if (mayTry && operation.ready(watch)) watch.synchronousCompletions += 1;
  else getGlobalDispatcher().addWaiter(watch, Readiness.read, operation);
  return operation;
}

class Receive extends Operation<Buffer> {
  private readonly size: number;

  constructor(size: number, flags: number) {
    super("recv", flags);
    this.size = size;
  }

  ready(watch: Watch): boolean {
    const own = watch.receivesMuch ? memoryFor(watch.fd, this.size) : undefined;
    const memory = own ?? receiveArena();
    const received = native.socket_receive(watch.fd, memory, memory, this.size, this.flags);
    watch.receivesMuch = received >= MUCH;
    if (received >= 0) this.complete(own?.length === received ? own : copyOf(memory, received));
    else if (received === -errno.EAGAIN) return false;
    else if (isDisconnection(this.flags, -received)) this.complete(Buffer.alloc(0));
    else this.fail(callFailure(received, "recv"));
    return true;
  }
}

/**
 * A connection that delivers so much at once is asked how much there is, and receives it into memory of just that
 * size: for this much, the copy out of the arena costs more than the question.
 */
const MUCH = 8 * 1024;

/** Memory for what is there; undefined when there is nothing, or an end, or an error. */
function memoryFor(fd: AsyncFD, size: number): Buffer | undefined {
  const available = native.socket_available(fd);
  return available > 0 ? Buffer.allocUnsafeSlow(Math.min(available, size, ARENA_SIZE)) : undefined;
}

export function copyOf(memory: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(length);
  memory.copy(copy, 0, 0, length);
  return copy;
}

class ReceiveInto extends Operation<number> {
  private readonly buffer: ArrayBufferView;
  private readonly size: number;

  constructor(buffer: ArrayBufferView, size: number, flags: number) {
    super("recvInto", flags);
    this.buffer = buffer;
    this.size = size;
  }

  ready({ fd }: Watch): boolean {
    if (this.buffer.byteLength < this.size) {
      this.fail(new ValueError("recvInto: the buffer was detached or shrank while waiting"));
      return true;
    }
    const view = this.buffer as NodeJS.TypedArray;
    const received = native.socket_receive(fd, view, view, this.size, this.flags);
    if (received >= 0) this.complete(received);
    else if (received === -errno.EAGAIN) return false;
    else if (isDisconnection(this.flags, -received)) this.complete(0);
    else this.fail(callFailure(received, "recv"));
    return true;
  }
}

/** The future of everything that was sent at once: finished, it never changes, so one is enough. */
const sent = new Future<void>("send");
sent.complete();

class Send extends Operation<void> {
  private readonly data: NodeJS.TypedArray | DataView;
  private readonly size: number;
  private sent = 0;

  constructor(data: NodeJS.TypedArray | DataView, flags: number) {
    super("send", flags);
    this.data = data;
    this.size = data.byteLength;
  }

  ready({ fd }: Watch): boolean {
    const { data } = this;
    if (data.byteLength < this.size) {
      this.fail(new ValueError("send: the data was detached or shrank while waiting"));
      return true;
    }
    return this.take(native.socket_send(fd, data, data, this.sent, 0));
  }

  /** Notes the result of a call: true when nothing is left to do. */
  take(result: number): boolean {
    if (result >= 0) {
      this.sent += result;
      if (this.sent < this.size) return false;
      this.complete();
    } else if (result === -errno.EAGAIN) return false;
    else if (isDisconnection(this.flags, -result)) this.complete();
    else this.fail(callFailure(result, "send"));
    return true;
  }
}

/**
 * Receives what is there, up to `size` bytes (and at most 512 KiB at once), as a new Buffer; an empty one at the
 * end of the data. Nim: `recv`.
 *
 * @param size bytes; 0 gives an empty Buffer at once
 * @returns fails with an OSError (`ECONNRESET` without `SafeDisconn`, `ENOTSOCK`, `ETIMEDOUT`), with `EBADF` when
 *   the socket is closed and with `ECANCELED` when it is unregistered meanwhile
 *   With the `signal` aborted or the future cancelled, it fails with a CancelledError, and no byte is lost.
 * @throws ValueError when the socket is not registered or `size` is out of range; TypeError for a wrong type
 */
export function recv(socket: AsyncFD, size: number, options?: TransferOptions): Future<Buffer> {
  requireInteger(size, 0, MAX_TRANSFER_SIZE);
  const flags = flagsOf(options);
  const dispatcher = getGlobalDispatcher();
  const watch = dispatcher.watch(socket);
  if (options?.signal !== undefined) return withSignal(options, (rest) => recv(socket, size, rest));
  const operation = new Receive(size, flags);
  if (size === 0) operation.complete(Buffer.alloc(0));
  else dispatcher.addWaiter(watch, Readiness.read, operation);
  return operation;
}

/**
 * Receives into memory of the caller, which must stay as it is until the future is finished. Nim: `recvInto`.
 *
 * @param size at most how many bytes; by default the whole buffer
 * @returns how many bytes arrived, 0 at the end of the data; fails as {@link recv} does
 * @throws ValueError when the socket is not registered or `size` exceeds the buffer; TypeError for a wrong type
 */
export function recvInto(
  socket: AsyncFD,
  buffer: ArrayBufferView,
  size: number = buffer?.byteLength,
  options?: TransferOptions,
): Future<number> {
  if (!ArrayBuffer.isView(buffer)) throw new TypeError(`Expected a typed array, got ${typeName(buffer)}`);
  requireInteger(size, 0, Math.min(buffer.byteLength, MAX_TRANSFER_SIZE));
  const flags = flagsOf(options);
  const dispatcher = getGlobalDispatcher();
  const watch = dispatcher.watch(socket);
  if (options?.signal !== undefined) return withSignal(options, (rest) => recvInto(socket, buffer, size, rest));
  const operation = new ReceiveInto(buffer, size, flags);
  if (size === 0) operation.complete(0);
  else dispatcher.addWaiter(watch, Readiness.read, operation);
  return operation;
}

/**
 * Sends all of the data, in as many parts as it takes, after everything sent before on this socket. What fits
 * into the socket's buffer at once is sent at once, and the future is then finished at return. Memory that is
 * passed must stay as it is until the future is finished. Nim: `send`.
 *
 * @param data a string is sent as UTF-8; nothing is done for an empty one
 * @returns fails with an OSError (`EPIPE`, `ECONNRESET` without `SafeDisconn`), else as {@link recv} does.
 *   Cancelled, it may have sent a part of the data.
 * @throws ValueError when the socket is not registered; TypeError for a wrong type
 */
export function send(
  socket: AsyncFD,
  data: string | ArrayBufferView | ArrayBuffer,
  options?: TransferOptions,
): Future<void> {
  const bytes = bytesOf(data);
  const flags = flagsOf(options);
  if (bytes.byteLength === 0 && options?.signal === undefined) return sent;
  const dispatcher = getGlobalDispatcher();
  const watch = dispatcher.watch(socket);
  if (options?.signal !== undefined) return withSignal(options, (rest) => send(socket, data, rest));
  const mayTry = watch.writers === undefined && watch.synchronousCompletions < SYNCHRONOUS_BUDGET;
  const result = mayTry ? native.socket_send(socket, bytes, bytes, 0, 0) : -errno.EAGAIN;
  if (result === bytes.byteLength) {
    watch.synchronousCompletions += 1;
    return sent;
  }
  const operation = new Send(bytes, flags);
  if (!operation.take(result)) dispatcher.addWaiter(watch, Readiness.write, operation);
  return operation;
}

export function bytesOf(data: unknown): NodeJS.TypedArray | DataView {
  if (typeof data === "string") return Buffer.from(data);
  if (ArrayBuffer.isView(data)) return data as NodeJS.TypedArray | DataView;
  if (data instanceof ArrayBuffer || data instanceof SharedArrayBuffer) return new Uint8Array(data);
  throw new TypeError(`Expected a string or bytes, got ${typeName(data)}`);
}

/** @throws TypeError, ValueError when the options or their flags are none */
export function flagsOf(options: TransferOptions | undefined): number {
  if (options === undefined) return SocketFlag.SafeDisconn;
  requireOptions(options);
  const { flags = SocketFlag.SafeDisconn } = options;
  requireInteger(flags, 0, SocketFlag.Peek | SocketFlag.SafeDisconn);
  return flags;
}
