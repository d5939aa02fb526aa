import { getGlobalDispatcher } from "../dispatcher.ts";
import { AssertionDefect, IOSelectorsException, typeName } from "../errors.ts";
import { Readiness } from "../native/abi.ts";
import type { AsyncFD } from "../native/selector.ts";
import { requireDescriptor, requireDescriptorOrVirtual } from "../reactor.ts";
import { type Callback, CallbackWaiter } from "../watch.ts";
import { AsyncEvent } from "./events.ts";
import { maxDescriptors } from "./loop.ts";

/**
 * Registers a descriptor with the global dispatcher, without interest. Its blocking mode stays as it is. Nim:
 * `register`.
 *
 * @throws AssertionDefect `Descriptor N already registered`
 * @throws IOSelectorsException when it is not open, or larger than a descriptor of this process can be
 * @throws TypeError, ValueError when it is no descriptor at all
 */
export function register(fd: AsyncFD): void {
  requireDescriptor(fd);
  if (fd > maxDescriptors()) throw new IOSelectorsException("Maximum number of descriptors is exhausted!");
  getGlobalDispatcher().register(fd);
}

/**
 * Forgets a descriptor, which stays open. Operations waiting for it fail with ECANCELED; callbacks of
 * `addRead` and `addWrite` are dropped, but those whose turn it is in this very round are still called, as long as the
 * number is not registered again with this dispatcher. A virtual descriptor (of `addTimer` and the like) is stopped.
 * An event can be registered again, see {@link AsyncEvent.unregister}. Nim: `unregister`.
 *
 * @throws AssertionDefect `Descriptor N is not registered in the selector!`, `Event is not registered in the queue!`
 */
export function unregister(target: AsyncFD | AsyncEvent): void {
  if (target instanceof AsyncEvent) {
    target.unregister();
    return;
  }
  requireDescriptorOrVirtual(target);
  const dispatcher = getGlobalDispatcher();
  const virtual = dispatcher.virtuals.remove(target);
  const watch = dispatcher.find(target);
  if (virtual !== undefined) virtual.stop();
  else if (watch !== undefined) dispatcher.unregister(watch);
  else throw new AssertionDefect(`Descriptor ${target} is not registered in the selector!`);
}

/** Whether a descriptor, virtual ones included, is registered with the global dispatcher. Nim: `contains`, `in`. */
export function contains(fd: AsyncFD): boolean {
  const dispatcher = getGlobalDispatcher();
  return dispatcher.find(fd) !== undefined || (typeof fd === "number" && dispatcher.virtuals.has(fd));
}

/**
 * Calls `callback` with the descriptor whenever it is readable (or failed, or closed by its peer) until it
 * returns true or throws. Callbacks of one descriptor are called in turn; the first that returns false keeps its
 * place, and those behind it wait. What it throws leaves through `poll`. Nim: `addRead`.
 *
 * @throws ValueError `File descriptor not registered.`
 * @throws IOSelectorsException for what cannot be watched: a regular file gives EPERM
 * @throws TypeError when `callback` is not a function
 * @example
 * register(0 as AsyncFD);
 * addRead(0 as AsyncFD, (fd) => readSync(fd, buffer) === 0);
 */
export function addRead(fd: AsyncFD, callback: Callback): void {
  addCallback(fd, Readiness.read, callback);
}

/**
 * As {@link addRead}, for when the descriptor is writable. On Linux the selector `select` does not tell a writer of a
 * hang-up, only of an error. Nim: `addWrite`.
 */
export function addWrite(fd: AsyncFD, callback: Callback): void {
  addCallback(fd, Readiness.write, callback);
}

function addCallback(fd: AsyncFD, direction: number, callback: Callback): void {
  if (typeof callback !== "function") throw new TypeError(`Expected a callback, got ${typeName(callback)}`);
  const dispatcher = getGlobalDispatcher();
  dispatcher.addWaiter(dispatcher.watch(fd), direction, new CallbackWaiter(callback));
}
