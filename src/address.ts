import { ValueError } from "./errors.ts";
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
  private readonly view: DataView;

  /** @param memory `AddressLayout.size` bytes; new ones by default */
  constructor(memory: Uint8Array = new Uint8Array(AddressLayout.size)) {
    this.memory = memory;
    this.view = new DataView(memory.buffer, memory.byteOffset, AddressLayout.size);
  }

  get domain(): Domain {
    return this.view.getUint32(AddressLayout.domain, true) as Domain;
  }

  set domain(domain: Domain) {
    this.view.setUint32(AddressLayout.domain, domain, true);
  }

  get port(): Port {
    return this.view.getUint32(AddressLayout.port, true);
  }

  set port(port: Port) {
    this.view.setUint32(AddressLayout.port, port, true);
  }

  /** The address without its port, as text: `127.0.0.1`, `2001:db8::1`, `fe80::1%2`, a UNIX path. */
  get text(): string {
    const { memory, view } = this;
    const length = view.getUint32(AddressLayout.length, true);
    const bytes = memory.subarray(AddressLayout.bytes, AddressLayout.bytes + length);
    if (this.domain === Domain.AF_INET) return bytes.join(".");
    if (this.domain === Domain.AF_INET6) return inet6Text(bytes, view.getUint32(AddressLayout.scope, true));
    return new TextDecoder().decode(bytes);
  }

  /** The wildcard address of a family, all zero. */
  static any(domain: Domain, port: Port): NativeAddress {
    const address = new NativeAddress();
    address.domain = domain;
    address.port = port;
    address.view.setUint32(AddressLayout.length, domain === Domain.AF_INET6 ? 16 : 4, true);
    return address;
  }
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
