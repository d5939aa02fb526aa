import type { Dispatcher } from "../dispatcher.ts";
import { Readiness } from "../native/abi.ts";
import type { AsyncFD } from "../native/selector.ts";
import type { VirtualSource } from "../virtuals.ts";
import type { Waiter, Watch } from "../watch.ts";

/** What the library opened to be watched. */
interface NativeResource {
  readonly descriptor: AsyncFD;
  close(): void;
}

/**
 * A virtual descriptor with a real one behind it, which this package opened, watches and closes: a process's, a
 * signal's.
 */
export abstract class NativeSource<R extends NativeResource> implements VirtualSource, Waiter {
  following: Waiter | undefined = undefined;
  sequence = 0;
  watch: Watch | undefined = undefined;
  /** The virtual descriptor. */
  readonly fd: AsyncFD;
  protected readonly dispatcher: Dispatcher;
  protected readonly resource: R;
  private readonly registration: Watch;

  constructor(dispatcher: Dispatcher, resource: R) {
    this.dispatcher = dispatcher;
    this.resource = resource;
    this.registration = watchResource(dispatcher, resource, this);
    this.fd = dispatcher.virtuals.add(this);
  }

  abstract ready(watch: Watch): boolean;

  abandon(): boolean {
    this.stop();
    return true;
  }

  /** Idempotent. */
  stop(): void {
    // Out of the selector before it is closed.
    if (this.registration.registered) this.dispatcher.unregister(this.registration);
    this.dispatcher.virtuals.remove(this.fd);
    this.resource.close();
  }
}

/** Lets `waiter` wait for a resource; closes it when that is not possible. */
export function watchResource(dispatcher: Dispatcher, resource: NativeResource, waiter: Waiter): Watch {
  try {
    return watchRegistered(dispatcher, dispatcher.registerOpened(resource.descriptor, false), waiter);
  } catch (error) {
    resource.close();
    throw error;
  }
}

/** Lets `waiter` wait for what was just registered; unregisters it when that is not possible. */
export function watchRegistered(dispatcher: Dispatcher, watch: Watch, waiter: Waiter): Watch {
  try {
    dispatcher.addWaiter(watch, Readiness.read, waiter);
  } catch (error) {
    dispatcher.unregister(watch);
    throw error;
  }
  return watch;
}
