import { Domain, type Port, requirePort } from "./address.ts";
import * as connections from "./asyncdispatch/connections.ts";
import * as datagrams from "./asyncdispatch/datagrams.ts";
import * as sockets from "./asyncdispatch/sockets.ts";
import { type Protocol, requireAddress, requireInteger, SockType } from "./asyncdispatch/sockets.ts";
import {
  bytesOf,
  flagsOf,
  MAX_TRANSFER_SIZE,
  SocketFlag,
  send,
  type TransferOptions,
} from "./asyncdispatch/transfer.ts";
import { Future } from "./asyncfutures.ts";
import { async } from "./asyncmacro.ts";
import { type LineForms, MAX_LINE_LENGTH, ReadBytes, ReadInto, ReadLine, requireView } from "./bytereaders.ts";
import { type CancelOption, withSignal } from "./cancellation.ts";
import { getGlobalDispatcher } from "./dispatcher.ts";
import { AssertionDefect, OSError, requireOptions, typeName, ValueError } from "./errors.ts";
import { FutureVar } from "./futurevar.ts";
import type { LaneOperation } from "./lane.ts";
import { custody } from "./native/custody.ts";
import type { AsyncFD } from "./native/selector.ts";
import { errno, socket as native } from "./native/socket.ts";
import type { LookupRequest } from "./resolver.ts";
import { SockAddr } from "./sockaddr.ts";
import { PeekDirectly, SocketInput } from "./socketinput.ts";
import type { Watch } from "./watch.ts";

/** Options of {@link AsyncSocket.recvLine}. */
export interface LineOptions extends TransferOptions {
  /** How many bytes a line may have at most; the rest of a longer one is the next line. */
  readonly maxLength?: number;
}

const LINE_FORMS: LineForms<string> = { empty: "\r\n", end: "" };

/**
 * A socket that reads ahead and knows lines. Several may read and several may send: each has its turn in the order in
 * which they began. A wrong argument is thrown; what is wrong with the socket is the failure of the future.
 *
 * An operation that is cancelled, or whose `signal` is aborted, loses no byte: what has arrived is for the next one.
 *
 * There is no TLS: Nim's `wrapSocket`, `wrapConnectedSocket`, `sslHandle`, `getPeerCertificates` and `isSsl` are not
 * here. Nim: `AsyncSocket`.
 *
 * @example
 * const greet = async(function* (client: AsyncSocket) {
 *   using socket = client;
 *   for (;;) {
 *     const line = yield* socket.recvLine();
 *     if (line === "") return;
 *     yield* socket.send(`Hello, ${line}!\r\n`);
 *   }
 * });
 */
export class AsyncSocket implements Disposable {
  /** Whether it reads ahead. Without, `recv` gives what arrives, and nothing is taken that was not asked for. */
  readonly isBuffered: boolean;
  readonly domain: Domain;
  readonly sockType: SockType;
  readonly protocol: Protocol;
  private readonly fd: AsyncFD;
  private readonly input: SocketInput;
  private readonly dispatcher = getGlobalDispatcher();
  private closed = false;

  /** @internal Use {@link newAsyncSocket}. */
  constructor(fd: AsyncFD, domain: Domain, sockType: SockType, protocol: Protocol, buffered: boolean) {
    this.fd = fd;
    this.domain = domain;
    this.sockType = sockType;
    this.protocol = protocol;
    this.isBuffered = buffered && sockType === SockType.SOCK_STREAM;
    this.input = new SocketInput(fd, this.isBuffered);
  }

  /** The descriptor. Of a closed socket it is a number that may name something else by now. */
  getFd(): AsyncFD {
    return this.fd;
  }

  /** Whether {@link close} was called; it says nothing of the peer. */
  isClosed(): boolean {
    return this.closed;
  }

  /** Whether there is something that can be read without the system. */
  hasDataBuffered(): boolean {
    return this.input.input.length > 0;
  }

  /**
   * Closes the socket; what waits for it fails with `EBADF`, and what is in the buffer is dropped. The second call
   * does nothing.
   */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.input.input.clear();
    const { dispatcher, fd } = this;
    const watch = dispatcher.find(fd);
    if (watch !== undefined && dispatcher === getGlobalDispatcher()) {
      sockets.closeSocket(fd);
      return;
    }
    // A dispatcher that is closed, or a call of `unregister`, has forgotten the socket.
    if (watch !== undefined) dispatcher.unregister(watch, new OSError(errno.EBADF, "close"), true);
    native.descriptor_close(custody.pointer, fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Connects it to a host, whose name is looked up off this thread; see `connect` of `asyncdispatch`.
   *
   * @throws ValueError when the port is out of range; TypeError for a wrong type
   */
  connect(address: string, port: Port, options?: CancelOption): Future<void> {
    requireAddress(address);
    requirePort(port);
    if (options !== undefined) requireOptions(options);
    return this.attempt("connect", () => connections.connect(this.fd, address, port, undefined, options));
  }

  /** Connects a socket of the domain `AF_UNIX` to a path or an abstract name. */
  connectUnix(path: string, options?: CancelOption): Future<void> {
    requireAddress(path);
    if (options !== undefined) requireOptions(options);
    const failure = this.failureUnlessUnix<void>("connectUnix");
    return failure ?? this.attempt("connectUnix", () => connections.connect(this.fd, path, 0, undefined, options));
  }

  /**
   * Receives. Buffered, it waits until there are `size` bytes, and gives fewer only at the end; unbuffered, it gives
   * what arrives. An empty Buffer is the end. With `Peek` it gives what is there, at most `size` bytes, and leaves it.
   *
   * @returns fails with an AssertionDefect "Cannot `recv` on a closed socket", else as `recv` of `asyncdispatch` does.
   *   What had arrived before an error is for the next one who reads.
   * @throws ValueError when `size` is out of range; TypeError for a wrong type
   */
  recv(size: number, options?: TransferOptions): Future<Buffer> {
    requireInteger(size, 0, MAX_TRANSFER_SIZE);
    const flags = flagsOf(options);
    if (options?.signal !== undefined) return withSignal(options, (rest) => this.recv(size, rest));
    if (this.closed) return closedFuture("recv");
    const peeks = (flags & SocketFlag.Peek) !== 0;
    const least = this.isBuffered && !peeks ? size : Math.min(size, 1);
    const { input } = this;
    if (peeks && !this.isBuffered && size > 0) return this.start(new PeekDirectly(input, size, flags));
    return this.start(new ReadBytes("recv", input, flags, size, least, peeks));
  }

  /**
   * As {@link recv}, into memory of the caller, which must stay as it is until the future is finished.
   *
   * @param size at most how many bytes; by default the whole buffer
   * @returns how many bytes, 0 at the end
   * @throws ValueError when `size` exceeds the buffer; TypeError for a wrong type
   */
  recvInto(buffer: ArrayBufferView, size: number = buffer?.byteLength, options?: TransferOptions): Future<number> {
    requireView(buffer);
    requireInteger(size, 0, Math.min(buffer.byteLength, MAX_TRANSFER_SIZE));
    const flags = flagsOf(options);
    if (options?.signal !== undefined) return withSignal(options, (rest) => this.recvInto(buffer, size, rest));
    if (this.closed) return closedFuture("recv");
    const peeks = (flags & SocketFlag.Peek) !== 0;
    if (peeks && !this.isBuffered && size > 0) return this.peekInto(buffer, size, flags);
    const least = this.isBuffered && !peeks ? size : Math.min(size, 1);
    return this.start(new ReadInto("recvInto", this.input, flags, buffer, size, least, peeks));
  }

  /**
   * Receives a line, as UTF-8, without its terminator: LF or CR LF; a CR elsewhere is a part of the line.
   *
   * - A line of nothing but its terminator is `"\r\n"`.
   * - `""` is the end, and nothing else. The last line may be without a terminator.
   * - Of a line of more than `maxLength` bytes it gives exactly so many, or up to 3 less where that would break a
   *   character; the next line begins with the rest.
   *
   * @returns fails with an AssertionDefect "Cannot `recv` on a closed socket", else as {@link recv} does
   * @throws AssertionDefect for the flag `Peek`
   * @throws ValueError when `maxLength` is not an integer of 1 or more; TypeError for a wrong type
   */
  recvLine(options?: LineOptions): Future<string> {
    const flags = flagsOf(options);
    const { maxLength = MAX_LINE_LENGTH } = options ?? {};
    requireInteger(maxLength, 1, MAX_TRANSFER_SIZE);
    if ((flags & SocketFlag.Peek) !== 0) throw new AssertionDefect("recvLine: a line cannot be received with Peek");
    if (options?.signal !== undefined) return withSignal(options, (rest) => this.recvLine(rest));
    if (this.closed) return closedFuture("recv");
    return this.start(new ReadLine("recvLine", this.input, flags, maxLength, LINE_FORMS));
  }

  /**
   * As {@link recvLine}: adds the line to the value of `line` and completes `line`, also when it fails. What is in
   * `line` already stays in front, as in Nim.
   *
   * @throws as {@link recvLine} does; TypeError when `line` is not a FutureVar
   */
  recvLineInto(line: FutureVar<string>, options?: LineOptions): Future<void> {
    if (!(line instanceof FutureVar)) throw new TypeError(`Expected a FutureVar, got ${typeName(line)}`);
    return addLine(line, this.recvLine(options));
  }

  /**
   * Sends all of the data, as `send` of `asyncdispatch` does.
   *
   * @returns fails with an AssertionDefect "Cannot `send` on a closed socket" (Q25), also when there is nothing to send
   * @throws TypeError, ValueError for a wrong argument
   */
  send(data: string | ArrayBufferView | ArrayBuffer, options?: TransferOptions): Future<void> {
    const bytes = bytesOf(data);
    flagsOf(options);
    return this.attempt("send", () => send(this.fd, bytes, options));
  }

  /** Waits for a connection and gives its socket, which is buffered as this one is; see `accept` of `asyncdispatch`. */
  accept(options?: connections.AcceptOptions): Future<AsyncSocket> {
    flagsOf(options);
    sockets.inheritableOf(options);
    return acceptFrom(
      this,
      this.attempt("accept", () => connections.accept(this.fd, options)),
    );
  }

  /** As {@link accept}, with the peer's address as text, without its port. */
  acceptAddr(options?: connections.AcceptOptions): Future<{ address: string; client: AsyncSocket }> {
    flagsOf(options);
    sockets.inheritableOf(options);
    return acceptAddrFrom(
      this,
      this.attempt("acceptAddr", () => connections.acceptAddr(this.fd, options)),
    );
  }

  /** @internal A socket of the same kind. */
  sibling(fd: AsyncFD): AsyncSocket {
    return new AsyncSocket(fd, this.domain, this.sockType, this.protocol, this.isBuffered);
  }

  /**
   * Lets a bound socket accept connections.
   *
   * @param backlog how many connections may wait to be accepted
   * @throws OSError `EADDRINUSE`, `EOPNOTSUPP`; AssertionDefect when the socket is closed
   */
  listen(backlog?: number): void {
    this.requireOpen("listen");
    sockets.listen(this.fd, backlog);
  }

  /**
   * Gives the socket its local address.
   *
   * @param port 0 lets the system choose; see {@link getLocalAddr}
   * @param address numeric, `""` for every address, or a name, which is looked up while this thread waits
   * @throws OSError `EADDRINUSE`, `EACCES`, `ENOTFOUND` and the like; AssertionDefect when the socket is closed
   * @throws ValueError `Unknown socket address family and no address specified to bindAddr` for a UNIX socket
   */
  bindAddr(port: Port = 0, address = ""): void {
    this.requireOpen("bindAddr");
    sockets.bindAddr(this.fd, address, port);
  }

  /**
   * Gives a socket of the domain `AF_UNIX` a path or an abstract name; see `bindAddr` of `asyncdispatch`.
   *
   * @throws OSError `EADDRINUSE` and the like; AssertionDefect when the socket is closed or of another domain
   */
  bindUnix(path: string): void {
    this.requireOpen("bindUnix");
    requireAddress(path);
    if (this.domain !== Domain.AF_UNIX) throw notUnix("bindUnix");
    sockets.bindAddr(this.fd, path, 0);
  }

  /** The local address and port. @throws OSError; AssertionDefect when the socket is closed */
  getLocalAddr(): [string, Port] {
    this.requireOpen("getLocalAddr");
    return sockets.getLocalAddr(this.fd);
  }

  /** The address and port of the peer. @throws OSError `ENOTCONN`; AssertionDefect when the socket is closed */
  getPeerAddr(): [string, Port] {
    this.requireOpen("getPeerAddr");
    return sockets.getPeerAddr(this.fd);
  }

  /** Reads an option. @throws OSError; ValueError for an unknown one; AssertionDefect when the socket is closed */
  getSockOpt(option: sockets.SOBool): boolean;
  getSockOpt(option: sockets.SOInt): number;
  getSockOpt(option: sockets.SOBool | sockets.SOInt): boolean | number {
    this.requireOpen("getSockOpt");
    return sockets.getSockOpt(this.fd, option as sockets.SOBool);
  }

  /** Sets an option. @throws OSError; TypeError, ValueError; AssertionDefect when the socket is closed */
  setSockOpt(option: sockets.SOBool, value: boolean): void;
  setSockOpt(option: sockets.SOInt, value: number): void;
  setSockOpt(option: sockets.SOBool | sockets.SOInt, value: boolean | number): void {
    this.requireOpen("setSockOpt");
    sockets.setSockOpt(this.fd, option as sockets.SOBool, value as boolean);
  }

  /**
   * Sends one datagram to a host, whose addresses are tried in turn; a name is looked up off this thread each time.
   *
   * @returns fails with an AssertionDefect for a stream and for a closed socket, with an IOError `Couldn't resolve
   *   address: …` when the name has no address of the socket's domain, else with the last address's error
   * @throws TypeError, ValueError for a wrong argument
   */
  sendTo(
    address: string,
    port: Port,
    data: string | ArrayBufferView | ArrayBuffer,
    options?: TransferOptions,
  ): Future<void> {
    requireAddress(address);
    requirePort(port);
    const bytes = bytesOf(data);
    flagsOf(options);
    if (options?.signal !== undefined) return withSignal(options, (rest) => this.sendTo(address, port, data, rest));
    const { domain, sockType, protocol } = this;
    const refusal = this.refuseStream<void>("sendTo", "Use `send` instead");
    return (
      refusal ??
      this.attempt("sendTo", () => {
        const watch = getGlobalDispatcher().watch(this.fd);
        return sendToHost(watch, { address, domain, socketType: sockType, protocol }, port, bytes);
      })
    );
  }

  /**
   * Waits for a datagram and gives it with its sender's address; see `recvFrom` of `asyncdispatch`.
   *
   * @returns fails with an AssertionDefect for a stream and for a closed socket
   * @throws TypeError, ValueError for a wrong argument
   */
  recvFrom(size: number, options?: TransferOptions): Future<datagrams.Datagram> {
    requireInteger(size, 0, MAX_TRANSFER_SIZE);
    flagsOf(options);
    const refusal = this.refuseStream<datagrams.Datagram>("recvFrom", "Use `recv` or `recvInto` instead");
    return refusal ?? this.attempt("recvFrom", () => datagrams.recvFrom(this.fd, size, options));
  }

  private start<O extends LaneOperation<unknown>>(operation: O): O {
    return this.input.lane.start(operation, false);
  }

  private peekInto(buffer: ArrayBufferView, size: number, flags: number): Future<number> {
    return copyInto(buffer, this.start(new PeekDirectly(this.input, size, flags)));
  }

  private refuseStream<T>(name: string, advice: string): Future<T> | undefined {
    if (this.sockType !== SockType.SOCK_STREAM) return undefined;
    return failed(name, new AssertionDefect(`Cannot \`${name}\` on a TCP socket. ${advice}`));
  }

  private failureUnlessUnix<T>(name: string): Future<T> | undefined {
    return this.domain === Domain.AF_UNIX ? undefined : failed(name, notUnix(name));
  }

  /** Starts an operation whose arguments are right: what it throws is the socket's fault, and fails the future. */
  private attempt<T>(name: string, start: () => Future<T>): Future<T> {
    if (this.closed) return closedFuture(name);
    try {
      return start();
    } catch (error) {
      // A signal that is none is an argument that no check has seen.
      if (error instanceof TypeError) throw error;
      return failed(name, error as Error);
    }
  }

  private requireOpen(name: string): void {
    if (this.closed) throw closedDefect(name);
  }
}

function closedDefect(name: string): AssertionDefect {
  return new AssertionDefect(`Cannot \`${name}\` on a closed socket`);
}

function notUnix(name: string): AssertionDefect {
  return new AssertionDefect(`Cannot \`${name}\` on a socket that is not of the domain AF_UNIX`);
}

function closedFuture<T>(name: string): Future<T> {
  return failed(name, closedDefect(name));
}

function failed<T>(name: string, error: Error): Future<T> {
  const future = new Future<T>(name);
  future.fail(error);
  return future;
}

const addLine = async(function* recvLineInto(line: FutureVar<string>, received: Future<string>) {
  const text = yield* received;
  line.value = (line.value ?? "") + text;
});

const copyInto = async(function* recvInto(buffer: ArrayBufferView, peeked: Future<Buffer>) {
  const data = yield* peeked;
  if (buffer.byteLength < data.length) {
    throw new ValueError("recvInto: the buffer was detached or shrank while waiting");
  }
  new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength).set(data);
  return data.length;
});

const acceptFrom = async(function* accept(listener: AsyncSocket, accepted: Future<AsyncFD>) {
  return listener.sibling(yield* accepted);
});

const acceptAddrFrom = async(function* acceptAddr(
  listener: AsyncSocket,
  accepted: Future<{ address: string; client: AsyncFD }>,
) {
  const { address, client } = yield* accepted;
  return { address, client: listener.sibling(client) };
});

const sendToHost = async(function* sendTo(
  watch: Watch,
  request: LookupRequest,
  port: Port,
  data: string | ArrayBufferView | ArrayBuffer,
) {
  return yield* connections.tryEachAddress(request, port, (target) => {
    // Its number may name another socket since the name was looked up.
    if (!watch.registered) throw new OSError(errno.EBADF, "sendto");
    return datagrams.sendTo(watch.fd, data, new SockAddr(target));
  });
});
