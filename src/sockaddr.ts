import { Domain, isUnixPath, NativeAddress, type Port, requirePort } from "./address.ts";
import { typeName, ValueError } from "./errors.ts";
import { inspect } from "./inspect.ts";
import { ipVersion } from "./ipaddress.ts";
import { SocketType } from "./native/abi.ts";
import { resolveNow } from "./resolver.ts";

/**
 * The address of a socket, as datagrams carry it. Its text is made when it is read, so that passing an address on
 * costs none. Nim: `Sockaddr_storage` and its `SockLen`.
 *
 * @example
 * const from = new SockAddr();
 * const size = yield* recvFromInto(socket, buffer, buffer.length, from);
 * yield* sendTo(socket, buffer.subarray(0, size), from);
 */
export class SockAddr {
  /**
   * Whether the last datagram that was received with this address did not fit, so that its end is lost.
   */
  truncated = false;
  #native: NativeAddress;

  /** An empty address, to be filled. */
  constructor();
  /** @internal */
  constructor(native: NativeAddress);
  constructor(native = new NativeAddress()) {
    this.#native = native;
  }

  /**
   * @param address numeric (`127.0.0.1`, `::1`, `fe80::1%eth0`), or a UNIX socket's: a path with a `/` in it, or an
   *   abstract name, which begins with a NUL (Linux)
   * @param port of no account for a UNIX socket
   * @throws ValueError for anything else, names of hosts among them, and for a path of more than 107 bytes
   * @throws OSError `ENOTFOUND` for an IPv6 address with an interface that does not exist
   * @throws TypeError for a wrong type
   */
  static of(address: string, port: Port): SockAddr {
    return new SockAddr(parse(address, port));
  }

  /**
   * The address as text, without its port, such as `127.0.0.1`, `fe80::1%2` or a path; `""` of a sender without a
   * name and of other families, such as netlink. An IPv4-mapped IPv6 address is shown as IPv4.
   */
  get address(): string {
    return this.#native.text;
  }

  /** @throws as {@link SockAddr.of} does */
  set address(address: string) {
    this.#native = parse(address, this.port);
  }

  /** The port, 0 of a UNIX socket. */
  get port(): Port {
    return this.#native.port;
  }

  /** @throws TypeError, ValueError when it is no port */
  set port(port: Port) {
    requirePort(port);
    if (this.family !== Domain.AF_UNIX) this.#native.port = port;
  }

  /**
   * `AF_INET`, `AF_INET6` or `AF_UNIX`; `AF_UNSPEC` of a new one, and of a sender without a name; else the system's
   * number of the family.
   */
  get family(): Domain {
    return this.#native.domain;
  }

  /** @internal What `console.log` shows. */
  [inspect](): string {
    return `SockAddr { ${JSON.stringify(this.address)}, port ${this.port} }`;
  }

  /** @internal */
  get native(): NativeAddress {
    return this.#native;
  }
}

function parse(address: unknown, port: Port): NativeAddress {
  if (typeof address !== "string") throw new TypeError(`Expected an address, got ${typeName(address)}`);
  requirePort(port);
  if (isUnixPath(address)) return NativeAddress.unix(address);
  const version = ipVersion(address);
  if (version === 4) return NativeAddress.inet(address, port);
  if (version === 0) throw new ValueError(`${JSON.stringify(address)} is no numeric address and no path`);
  const request = { address, domain: Domain.AF_UNSPEC, socketType: SocketType.datagram, protocol: 0 };
  const parsed = resolveNow(request)[0] as NativeAddress;
  parsed.port = port;
  return parsed;
}
