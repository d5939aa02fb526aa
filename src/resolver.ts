import { Domain, isUnixPath, NativeAddress } from "./address.ts";
import { Future } from "./asyncfutures.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { type CancelledError, IOError, OSError } from "./errors.ts";
import { ipVersion } from "./ipaddress.ts";
import { AddressLayout, LookupLayout, Readiness } from "./native/abi.ts";
import { NativeRecord } from "./native/memory.ts";
import type { AsyncFD } from "./native/selector.ts";
import { callFailure, errno, socket, succeeded } from "./native/socket.ts";
import { CallbackWaiter, type Watch } from "./watch.ts";

/** What is looked up: a host's addresses for one kind of socket. */
export interface LookupRequest {
  readonly address: string;
  readonly domain: Domain;
  readonly socketType: number;
  readonly protocol: number;
}

/** A name that a thread looks up. */
class Lookup extends Future<NativeAddress[]> {
  readonly request: LookupRequest;
  private readonly forget: () => void;

  constructor(request: LookupRequest, forget: () => void) {
    super("resolve");
    this.request = request;
    this.forget = forget;
  }

  protected override tryCancel(error: CancelledError): boolean {
    this.forget();
    this.fail(error);
    return true;
  }
}

const resolvers = new WeakMap<Dispatcher, Resolver>();

/**
 * Looks a host's addresses up, in the system's order. Numeric addresses and paths of UNIX sockets are there at
 * once; names are asked for in a thread of the native library.
 *
 * The future fails with an OSError (`ENOTFOUND` and the like) when the name is unknown, with an IOError when it
 * has no address of the domain.
 */
export function resolve(dispatcher: Dispatcher, request: LookupRequest): Future<NativeAddress[]> {
  if (ipVersion(request.address) !== 0 || isUnix(request)) return immediately(() => resolveNow(request));
  let resolver = resolvers.get(dispatcher);
  if (resolver === undefined) {
    resolver = new Resolver(dispatcher);
    resolvers.set(dispatcher, resolver);
  }
  return resolver.start(request);
}

/** As {@link resolve}, blocking this thread when the address is a name. */
export function resolveNow(request: LookupRequest): NativeAddress[] {
  if (isUnix(request)) return [unixAddress(request)];
  const memory = new Uint8Array(LookupLayout.size);
  const name = encodeName(request);
  const result = socket.resolve_now(name, name, request.domain, request.socketType, request.protocol, memory);
  succeeded(result, "getaddrinfo", { address: request.address });
  return readLookup(memory, request);
}

function isUnix({ domain, address }: LookupRequest): boolean {
  return domain === Domain.AF_UNIX || isUnixPath(address);
}

function unixAddress({ domain, address }: LookupRequest): NativeAddress {
  // Linux would say EINVAL to a short path.
  const fits = domain === Domain.AF_UNIX || domain === Domain.AF_UNSPEC;
  if (!fits) throw new OSError(errno.EAFNOSUPPORT, "getaddrinfo", { address });
  return NativeAddress.unix(address);
}

function immediately(lookup: () => NativeAddress[]): Future<NativeAddress[]> {
  const future = new Future<NativeAddress[]>("resolve");
  try {
    future.complete(lookup());
  } catch (error) {
    future.fail(error as Error);
  }
  return future;
}

/** The lookups of one dispatcher; its descriptor is watched while one is pending. */
class Resolver extends NativeRecord {
  private readonly dispatcher: Dispatcher;
  private readonly pending = new Map<number, Lookup>();
  private readonly found = new Uint8Array(LookupLayout.size);
  private readonly watch: Watch;
  private readonly waiter = new CallbackWaiter(() => this.takeFinished());
  private lastTicket = 0;

  constructor(dispatcher: Dispatcher) {
    super(socket.resolver_create(), socket.resolver_free_address());
    succeeded(socket.resolver_open(this.pointer), "eventfd");
    this.dispatcher = dispatcher;
    try {
      this.watch = dispatcher.registerOpened(socket.resolver_descriptor(this.pointer) as AsyncFD, false);
    } catch (error) {
      socket.resolver_close(this.pointer);
      throw error;
    }
    dispatcher.own(this);
  }

  start(request: LookupRequest): Future<NativeAddress[]> {
    if (this.pending.size === 0) this.dispatcher.addWaiter(this.watch, Readiness.read, this.waiter);
    const ticket = ++this.lastTicket;
    const lookup = new Lookup(request, () => this.forget(ticket));
    this.pending.set(ticket, lookup);
    const name = encodeName(request);
    const { domain, socketType, protocol } = request;
    const result = socket.resolver_start(this.pointer, name, name, domain, socketType, protocol, ticket);
    if (result < 0) {
      this.forget(ticket);
      lookup.fail(callFailure(result, "getaddrinfo", { address: request.address }));
    }
    return lookup;
  }

  close(reason: OSError): void {
    resolvers.delete(this.dispatcher);
    for (const lookup of this.pending.values()) lookup.fail(reason);
    this.pending.clear();
    this.dispatcher.unregister(this.watch);
    socket.resolver_close(this.pointer);
  }

  /** A thread that is at it goes on, and what it finds is dropped. */
  private forget(ticket: number): void {
    this.pending.delete(ticket);
    socket.resolver_cancel(this.pointer, ticket);
    if (this.pending.size === 0) this.dispatcher.removeWaiter(this.watch, this.waiter);
  }

  /** True once no lookup is pending. */
  private takeFinished(): boolean {
    while (socket.resolver_take(this.pointer, this.found) === 1) {
      const ticket = new DataView(this.found.buffer).getUint32(LookupLayout.ticket, true);
      const lookup = this.pending.get(ticket);
      if (lookup === undefined) continue;
      this.pending.delete(ticket);
      try {
        lookup.complete(readLookup(this.found, lookup.request));
      } catch (error) {
        lookup.fail(error as Error);
      }
    }
    return this.pending.size === 0;
  }
}

/** Never empty: the call must have memory to point at. */
function encodeName(request: LookupRequest): Uint8Array {
  return Buffer.from(request.address === "" ? "\0" : request.address);
}

function readLookup(memory: Uint8Array, request: LookupRequest): NativeAddress[] {
  const view = new DataView(memory.buffer);
  const status = view.getInt32(LookupLayout.status, true);
  if (status !== 0) throw lookupError(status, view.getInt32(LookupLayout.systemError, true), request.address);
  const count = view.getUint32(LookupLayout.count, true);
  if (count === 0) throw new IOError(`Couldn't resolve address: ${request.address}`);
  return Array.from({ length: count }, (_, i) => {
    const start = LookupLayout.addresses + i * AddressLayout.size;
    return new NativeAddress(memory.slice(start, start + AddressLayout.size));
  });
}

/** A name's absence has no errno; these are the numbers that Node and Bun give. */
const UV_EAI_AGAIN = 3001;
const UV_ENOTFOUND = 3008;
const EAI_AGAIN = ({ linux: -3, win32: 11_002 } as Record<string, number>)[process.platform] ?? 2;

function lookupError(status: number, systemError: number, address: string): OSError {
  const info = socket.resolve_error_text(status)?.toString() ?? `getaddrinfo error ${status}`;
  if (systemError !== 0) return new OSError(systemError, "getaddrinfo", { address, info });
  if (status === EAI_AGAIN) return new OSError(UV_EAI_AGAIN, "getaddrinfo", { address, info, code: "EAI_AGAIN" });
  return new OSError(UV_ENOTFOUND, "getaddrinfo", { address, info, code: "ENOTFOUND" });
}
