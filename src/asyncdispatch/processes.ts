import { constants } from "node:os";
import type { Future } from "../asyncfutures.ts";
import { type CancelOption, hasSignal, withSignal } from "../cancellation.ts";
import { type Dispatcher, getGlobalDispatcher } from "../dispatcher.ts";
import { type CancelledError, typeName, ValueError } from "../errors.ts";
import { logFinished } from "../futurelogging.ts";
import type { AsyncFD } from "../native/selector.ts";
import { NativeProcess } from "../native/watches.ts";
import type { Callback, Watch } from "../watch.ts";
import { NativeSource, watchResource } from "./sources.ts";
import { Operation, SocketFlag } from "./transfer.ts";

/** A process of {@link addProcess}. */
class WatchedProcess extends NativeSource<NativeProcess> {
  private readonly callback: Callback;

  constructor(dispatcher: Dispatcher, pid: number, callback: Callback) {
    super(dispatcher, new NativeProcess(pid));
    this.callback = callback;
  }

  ready(): boolean {
    this.stop();
    this.callback(this.fd);
    return true;
  }
}

/**
 * Calls `callback` once, when a process ends: a child, or any other process of the system. One that has ended but
 * was not waited for yet counts as well. The watch is gone after it, whatever the callback returns. Nobody's status
 * is taken, and SIGCHLD is left alone. Nim: `addProcess`.
 *
 * On Linux it takes a pidfd.
 *
 * @returns a virtual descriptor, which the callback gets as well: `unregister` stops the watch
 * @throws OSError `ESRCH` when there is no such process (any more); on Linux `EINVAL`, or `ENOENT` of newer kernels, for
 *   the number of a thread; on Windows `EACCES` for a process of which this one may know nothing
 * @throws ValueError when `pid` can be none, such as 0; TypeError for a wrong type
 * @example
 * const child = Bun.spawn(["sleep", "1"]);
 * addProcess(child.pid, () => {
 *   console.log("the child has ended");
 *   return true;
 * });
 */
export function addProcess(pid: number, callback: Callback): AsyncFD {
  requirePid(pid);
  if (typeof callback !== "function") throw new TypeError(`Expected a callback, got ${typeName(callback)}`);
  return new WatchedProcess(getGlobalDispatcher(), pid, callback).fd;
}

/** How a process ended: with a code, or by a signal; both are null when the system does not tell. */
export interface ProcessExit {
  readonly pid: number;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

class ProcessWait extends Operation<ProcessExit> {
  private readonly pid: number;
  private readonly process: NativeProcess;
  private readonly dispatcher: Dispatcher;
  private readonly registration: Watch;

  constructor(dispatcher: Dispatcher, pid: number, process: NativeProcess) {
    super("waitProcess", SocketFlag.None);
    this.pid = pid;
    this.process = process;
    this.dispatcher = dispatcher;
    try {
      this.registration = watchResource(dispatcher, process, this);
    } catch (error) {
      // The future of a wait that does not begin.
      logFinished(this);
      throw error;
    }
  }

  ready(watch: Watch): boolean {
    this.dispatcher.unregister(watch);
    try {
      const { exitCode, signal } = this.process.status();
      this.complete({ pid: this.pid, exitCode, signal: signal === null ? null : signalName(signal) });
    } catch (error) {
      this.fail(error as Error);
    } finally {
      this.process.close();
    }
    return true;
  }

  override abandon(error: Error): boolean {
    this.process.close();
    return super.abandon(error);
  }

  protected override tryCancel(error: CancelledError): boolean {
    this.dispatcher.unregister(this.registration, error);
    return true;
  }
}

/**
 * Waits for a process to end, and tells how. The status is known of children of this process, and on Linux 6.15 and
 * newer also of processes that their parent was quick to wait for: else `exitCode` and `signal` are null. On Windows
 * the exit code is known of any process, and there are no signals. The status is looked at and not taken, so that
 * `Bun.spawn(…).exited` of the same child resolves as ever.
 *
 * Bun's own loop waits for the children of `Bun.spawn`. Before Linux 6.15, the status of one that it saw first is no
 * longer known here, but in `exitCode` and `signalCode` of what `Bun.spawn` gave. A blocking `waitFor` always knows it.
 *
 * @param options.signal aborted, the future fails with a CancelledError; the process goes on
 * @throws as {@link addProcess} does
 * @example
 * const child = Bun.spawn(["sh", "-c", "exit 3"]);
 * const { exitCode } = waitFor(waitProcess(child.pid)); // 3
 */
export function waitProcess(pid: number, options?: CancelOption): Future<ProcessExit> {
  requirePid(pid);
  if (hasSignal(options)) return withSignal(options, () => waitProcess(pid));
  return new ProcessWait(getGlobalDispatcher(), pid, new NativeProcess(pid));
}

/** @throws TypeError when it is not a number; ValueError when no process can have it */
function requirePid(pid: unknown): void {
  if (typeof pid !== "number") throw new TypeError(`Expected the number of a process, got ${typeName(pid)}`);
  if (!Number.isInteger(pid) || pid < 1 || pid >= 2 ** 31) throw new ValueError(`${pid} is not a process`);
}

const signalNames = new Map<number, NodeJS.Signals>();
for (const [name, number] of Object.entries(constants.signals)) {
  // SIGIOT and SIGPOLL are second names of numbers that have a better known one.
  if (!signalNames.has(number)) signalNames.set(number, name as NodeJS.Signals);
}

/** Realtime signals have no name in Node's table; they are called by their number. */
function signalName(signal: number): NodeJS.Signals {
  return signalNames.get(signal) ?? (`SIG${signal}` as NodeJS.Signals);
}
