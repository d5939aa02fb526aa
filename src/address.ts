import { type OSErrorDetails, ValueError } from "./errors.ts";
import { AddressLayout, Domain as NativeDomain } from "./native/abi.ts";

/** Address families. Nim: `Domain`. */
export const Domain = {
  AF_UNSPEC: NativeDomain.unspecified,
  AF_UNIX: NativeDomain.unix,
  AF_INET: NativeDomain.inet,
  AF_INET6: NativeDomain.inet6,
} as const;
export type Domain = (typeof Domain)[keyof typeof Domain];

/** A port number, 0 to 65535; 0 lets the system choose where something is bound. Nim: `Port`. */
export type Port = number;

/** A socket address in the memory layout that the native library reads and writes. */
export class NativeAddress {
  readonly memory: Uint8Array;

  /** @param memory `AddressLayout.size` bytes; new ones by default */
  constructor(memory: Uint8Array = new Uint8Array(AddressLayout.size)) {
    this.memory = memory;
  }

  get domain(): Domain {
    return readWord(this.memory, AddressLayout.domain) as Domain;
  }

  set domain(domain: Domain) {
    writeWord(this.memory, AddressLayout.domain, domain);
  }

  get port(): Port {
    return readWord(this.memory, AddressLayout.port);
  }

  set port(port: Port) {
    writeWord(this.memory, AddressLayout.port, port);
  }

  /** The address without its port, as text: `127.0.0.1`, `2001:db8::1`, `fe80::1%2`, a UNIX path; else `""`. */
  get text(): string {
    const { memory } = this;
    const length = readWord(memory, AddressLayout.length);
    const at = AddressLayout.bytes;
    if (this.domain === Domain.AF_INET) return `${memory[at]}.${memory[at + 1]}.${memory[at + 2]}.${memory[at + 3]}`;
    const bytes = memory.subarray(at, at + length);
    if (this.domain === Domain.AF_INET6) return inet6Text(bytes, readWord(memory, AddressLayout.scope));
    return this.domain === Domain.AF_UNIX ? new TextDecoder().decode(bytes) : "";
  }

  /** What an error says of this address. */
  get details(): OSErrorDetails {
    return endpointDetails(this.domain, this.text, this.port);
  }

  /**
   * The address of a UNIX socket.
   *
   * @param path a path, or an abstract name, which begins with a NUL
   * @throws ValueError when it is empty, longer than the system allows, or a path with a NUL in it
   */
  static unix(path: string): NativeAddress {
    requireUnixPath(path);
    const bytes = Buffer.from(path);
    const address = new NativeAddress();
    address.domain = Domain.AF_UNIX;
    address.memory.set(bytes, AddressLayout.bytes);
    writeWord(address.memory, AddressLayout.length, bytes.length);
    return address;
  }

  /** @param text an IPv4 address, of which it is known that it is one */
  static inet(text: string, port: Port): NativeAddress {
    const address = NativeAddress.any(Domain.AF_INET, port);
    address.memory.set(text.split(".").map(Number), AddressLayout.bytes);
    return address;
  }

  /** The wildcard address of a family, all zero. */
  static any(domain: Domain, port: Port): NativeAddress {
    const address = new NativeAddress();
    address.domain = domain;
    address.port = port;
    writeWord(address.memory, AddressLayout.length, domain === Domain.AF_INET6 ? 16 : 4);
    return address;
  }
}

// Byte by byte: a DataView would cost more than all the rest of a new address.
function readWord(memory: Uint8Array, at: number): number {
  const [a, b, c, d] = [memory[at] ?? 0, memory[at + 1] ?? 0, memory[at + 2] ?? 0, memory[at + 3] ?? 0];
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
}

function writeWord(memory: Uint8Array, at: number, word: number): void {
  for (let i = 0; i < 4; i++) memory[at + i] = word >>> (8 * i);
}

/** What an error says of an address; one of the domain UNIX has no port. */
export function endpointDetails(domain: Domain, address: string, port: Port): OSErrorDetails {
  return domain === Domain.AF_UNIX ? { address } : { address, port };
}

/** Bytes that the system has for a path, of which the last is for the NUL that ends it. */
const UNIX_PATH_CAPACITY = 108;

/** Whether a text is the path or the abstract name of a UNIX socket, and no name of a host. */
export function isUnixPath(address: string): boolean {
  return address.startsWith("\0") || address.includes("/");
}

/** @throws ValueError when no UNIX socket can have this path or abstract name */
export function requireUnixPath(path: string): void {
  if (path === "") throw new ValueError("The path of a UNIX socket is empty");
  const isAbstract = path.startsWith("\0");
  if (!isAbstract && path.includes("\0")) throw new ValueError("The path of a UNIX socket has a NUL in it");
  const most = isAbstract ? UNIX_PATH_CAPACITY : UNIX_PATH_CAPACITY - 1;
  const length = Buffer.byteLength(path);
  if (length > most) throw new ValueError(`The path of a UNIX socket has ${length} bytes, more than ${most}`);
}

/** IPv6 text as RFC 5952 wants it; an IPv4-mapped address is shown as IPv4, as in Nim. */
function inet6Text(bytes: Uint8Array, scope: number): string {
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (isMapped) return bytes.subarray(12).join(".");
  const groups = Buffer.from(bytes).toString("hex").match(/..../g) ?? [];
  const text = new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
  return scope === 0 ? text : `${text}%${scope}`;
}

/** @throws TypeError when it is not a number; ValueError when it is not an integer from 0 to 65535 */
export function requirePort(port: unknown): void {
  if (typeof port !== "number") throw new TypeError(`Expected a port, got ${typeof port}`);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new ValueError(`${port} is not a port (0 to 65535)`);
}
