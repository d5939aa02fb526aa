import { copyOf, isDisconnection, receiveArena, SocketFlag } from "./asyncdispatch/transfer.ts";
import { ByteQueue } from "./bytequeue.ts";
import { type ByteSource, type Reader, ReadLine } from "./bytereaders.ts";
import { Lane, LaneOperation } from "./lane.ts";
import { Readiness } from "./native/abi.ts";
import type { AsyncFD } from "./native/selector.ts";
import { callFailure, errno, socket as native } from "./native/socket.ts";

/** How much a buffered socket asks for at once, when less is asked of it. Nim: `BufferSize`, 4000. */
const BUFFER_SIZE = 16 * 1024;

/** How far an unbuffered socket looks for the end of a line at once. */
const LINE_GLANCE = 1024;

/** Gives what is in a socket, and in no buffer, and leaves it there. */
export class PeekDirectly extends LaneOperation<Buffer> {
  private readonly socket: SocketInput;
  private readonly size: number;
  private readonly flags: number;

  constructor(socket: SocketInput, size: number, flags: number) {
    super("recv");
    this.socket = socket;
    this.size = size;
    this.flags = flags;
  }

  take(): boolean {
    const { input } = this.socket;
    if (input.length > 0) this.complete(input.copy(Math.min(this.size, input.length)));
    return this.finished;
  }

  advance(): boolean {
    const memory = receiveArena();
    const result = native.socket_receive(this.socket.fd, memory, memory, this.size, SocketFlag.Peek);
    if (result >= 0) this.complete(copyOf(memory, result));
    else if (result === -errno.EAGAIN) return false;
    else if (isDisconnection(this.flags, -result)) this.complete(Buffer.alloc(0));
    else this.fail(callFailure(result, "recv"));
    return true;
  }
}

/** What a socket has received, and who waits for it. */
export class SocketInput implements ByteSource {
  readonly input = new ByteQueue();
  readonly lane: Lane;
  readonly fd: AsyncFD;
  private readonly isBuffered: boolean;

  constructor(fd: AsyncFD, isBuffered: boolean) {
    this.fd = fd;
    this.isBuffered = isBuffered;
    this.lane = new Lane(fd, Readiness.read, true);
  }

  fetch(reader: Reader<unknown>): number {
    const memory = receiveArena();
    let size = Math.min(reader.wanted, memory.length);
    if (this.isBuffered) {
      size = reader instanceof ReadLine ? BUFFER_SIZE : Math.max(size, BUFFER_SIZE);
    } else if (reader instanceof ReadLine) {
      // Nothing is read ahead: what is behind the line stays in the socket.
      const glance = Math.min(size, LINE_GLANCE);
      const peeked = native.socket_receive(this.fd, memory, memory, glance, SocketFlag.Peek);
      if (peeked <= 0) return peeked;
      size = reader.usable(memory, peeked);
    }
    const received = native.socket_receive(this.fd, memory, memory, size, SocketFlag.None);
    if (received > 0) this.input.append(memory, received);
    return received;
  }

  took(): void {}

  failure(result: number): Error {
    return callFailure(result, "recv");
  }

  isEnd(reader: Reader<unknown>, result: number): boolean {
    return isDisconnection(reader.flags, -result);
  }
}
