import { constants } from "node:os";
import { type Dispatcher, getGlobalDispatcher } from "../dispatcher.ts";
import { typeName, ValueError } from "../errors.ts";
import { Readiness } from "../native/abi.ts";
import type { AsyncFD } from "../native/selector.ts";
import { NativeSignal } from "../native/watches.ts";
import type { Callback, Watch } from "../watch.ts";
import { NativeSource } from "./sources.ts";

/** A signal of {@link addSignal}. */
class WatchedSignal extends NativeSource<NativeSignal> {
  private readonly callback: Callback;

  constructor(dispatcher: Dispatcher, signal: number, callback: Callback) {
    super(dispatcher, new NativeSignal(signal));
    this.callback = callback;
  }

  ready(watch: Watch): boolean {
    if (!this.resource.take()) return false;
    try {
      if (this.callback(this.fd) === true) this.stop();
    } catch (error) {
      // An error is no answer: the watch stays.
      if (watch.registered) this.dispatcher.addWaiter(watch, Readiness.read, this);
      throw error;
    }
    return false;
  }
}

/**
 * Calls `callback` when a signal comes, until it returns true. A signal that comes several times before a poll is
 * one call; several watches of a signal, in several threads as well, are all called. Nim: `addSignal`. POSIX only.
 *
 * While a signal is watched, its default action does not happen: a program that watches `SIGTERM` has to end itself.
 * With the last watch, what the process did with the signal before comes back. Children do not inherit the watch.
 *
 * Beside Bun's own `process.on(signal)`, as of Bun 1.4.5:
 * - Listeners set before `addSignal` are called as well. Take them off after the watch: in the other order, Bun's
 *   handler comes back without listeners, and the signal is ignored.
 * - A listener set after `addSignal` replaces the watch, which is told nothing any more; a further `addSignal` of the
 *   same signal brings both back. Taking that listener off brings the default action, whatever is watched.
 *
 * @param signal a name or a number
 * @returns a virtual descriptor, which the callback gets as well: `unregister` stops the watch
 * @throws OSError `EINVAL` for a number that is no signal, for `SIGKILL` and `SIGSTOP`, for the faults `SIGSEGV`,
 *   `SIGBUS`, `SIGILL`, `SIGFPE`, and for the C library's own; `EAGAIN` for more than 256 watches in the process;
 *   `ENOTSUP` on Windows
 * @throws ValueError for an unknown name or a fraction; TypeError for a wrong type
 * @example
 * addSignal("SIGTERM", () => {
 *   stop();
 *   return true;
 * });
 */
export function addSignal(signal: NodeJS.Signals | number, callback: Callback): AsyncFD {
  const number = signalNumber(signal);
  if (typeof callback !== "function") throw new TypeError(`Expected a callback, got ${typeName(callback)}`);
  return new WatchedSignal(getGlobalDispatcher(), number, callback).fd;
}

/** Numbers in the range of an int: which of them are signals, the system knows. */
function signalNumber(signal: unknown): number {
  if (typeof signal === "string") {
    if (Object.hasOwn(constants.signals, signal)) return constants.signals[signal as NodeJS.Signals];
    throw new ValueError(`Unknown signal ${JSON.stringify(signal)}`);
  }
  if (typeof signal !== "number") throw new TypeError(`Expected a signal's name or number, got ${typeName(signal)}`);
  if (!Number.isInteger(signal) || Math.abs(signal) >= 2 ** 31) throw new ValueError(`${signal} is not a signal`);
  return signal;
}
