import type { Socket } from "bun";

/** A socket that Bun watches, one byte of which is a ring. */
export interface Bell {
  ref(): void;
  unref(): void;
  terminate(): void;
}

/** @internal The end of a connected socket, which becomes Bun's. */
export function bellOf(fd: number, ring: () => void): Bell {
  let socket: Socket | undefined;
  const handlers = {
    open(opened: Socket) {
      socket = opened;
    },
    // Without an `error` handler, what `data` throws is an uncaught exception, as it should be.
    data: ring,
  };
  // Of a descriptor, `open` is called at once.
  void Bun.connect({ fd, socket: handlers } as unknown as Parameters<typeof Bun.connect>[0]);
  return socket as unknown as Socket;
}

/**
 * @internal The end of a connection that Bun accepts: on Windows it takes no descriptor. Until then the listener stands
 * in for the socket; what is rung meanwhile waits in the connection.
 */
export class AcceptedBell implements Bell {
  private readonly listener: Bun.TCPSocketListener;
  /** The one peer that is let in. */
  private readonly peerPort: number;
  private socket: Socket | undefined;
  private referenced = true;
  private terminated = false;

  /** @param connect connects to the port and gives the one that it comes from */
  constructor(connect: (port: number) => number, ring: () => void) {
    const open = (socket: Socket) => this.accept(socket);
    this.listener = Bun.listen({ hostname: LOOPBACK, port: 0, socket: { open, data: ring } });
    try {
      this.peerPort = connect(this.listener.port);
    } catch (error) {
      this.listener.stop();
      throw error;
    }
  }

  private accept(socket: Socket): void {
    const isPeer = socket.remoteAddress === LOOPBACK && socket.remotePort === this.peerPort;
    if (this.terminated || !isPeer) {
      socket.terminate();
      return;
    }
    this.socket = socket;
    if (!this.referenced) socket.unref();
    this.listener.stop();
  }

  ref(): void {
    this.referenced = true;
    (this.socket ?? this.listener).ref();
  }

  unref(): void {
    this.referenced = false;
    (this.socket ?? this.listener).unref();
  }

  terminate(): void {
    this.terminated = true;
    this.listener.stop();
    this.socket?.terminate();
  }
}

const LOOPBACK = "127.0.0.1";
