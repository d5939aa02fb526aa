// A Worker of bunloop-worker-driver.ts: it has one of everything in flight, and ends by itself or is ended.
import { parentPort, workerData } from "node:worker_threads";
import { openAsync } from "../src/asyncfile.ts";
import {
  AsyncEvent,
  type AsyncEventToken,
  type AsyncFD,
  accept,
  addEvent,
  addProcess,
  addRead,
  addSignal,
  addTimer,
  async,
  asyncCheck,
  bindAddr,
  callSoon,
  closeSocket,
  createAsyncNativeSocket,
  Domain,
  dial,
  type Future,
  getGlobalDispatcher,
  getLocalAddr,
  listen,
  newAsyncEvent,
  newDispatcher,
  newFuture,
  poll,
  recv,
  recvFrom,
  register,
  SockType,
  send,
  setGlobalDispatcher,
  sleepAsync,
  unregister,
  waitFor,
  waitProcess,
} from "../src/index.ts";
import { isWindows } from "./descriptors.ts";

export interface WorkerTask {
  readonly ending: Ending;
  /** Of a listener of the main thread, which expects to see this Worker's connection end. */
  readonly port: number;
  /** Of a process that outlives the Worker. */
  readonly pid: number;
  /** Of a FIFO in which nothing ever is; Windows has none that a file could be. */
  readonly fifo: string | undefined;
  /** A descriptor of the main thread. */
  readonly fd: AsyncFD;
  /** Of an event of the main thread. */
  readonly token: AsyncEventToken;
  /** At place 0: how often that event has been triggered so far. */
  readonly triggers: SharedArrayBuffer;
}

export const EXIT_CODE = 7;

/** A file of a terminated Worker stays open on Windows, where it is Bun that opens and closes files. */
const ownsFiles = !isWindows;

const PAIRS = 4;
const ECHOES = 200;

const echo = async(function* (socket: AsyncFD) {
  for (;;) yield* send(socket, yield* recv(socket, 4096));
});

/** Two sockets that send one another what comes, without end. */
const saturate = async(function* (onEcho: () => void) {
  const [server, port] = listener();
  const dialled = dial("127.0.0.1", port);
  asyncCheck(echo(yield* accept(server)));
  const client = yield* dialled;
  for (;;) {
    yield* send(client, "ping");
    yield* recv(client, 4096);
    onEcho();
  }
});

/** One of everything that takes something of the system. */
function openAndClose(): void {
  newDispatcher().close();
  newAsyncEvent().close();
  unregister(addProcess(process.pid, () => false));
  if (!isWindows) unregister(addSignal("SIGUSR2", () => false));
  if (ownsFiles) openAsync(import.meta.path).close();
  const [server, port] = listener();
  const dialled = dial("127.0.0.1", port);
  for (const socket of [waitFor(accept(server)), waitFor(dialled), server]) closeSocket(socket);
}

/** Something that Bun's loop drives, and that is over. */
const finish = async(function* () {
  const [server, port] = listener();
  const dialled = dial("127.0.0.1", port);
  const accepted = yield* accept(server);
  for (const socket of [server, accepted, yield* dialled]) closeSocket(socket);
  yield* sleepAsync(1);
});

/** What a Worker does, all but `finishes` with everything in flight. */
const endings = {
  // These go on until the Worker is terminated.
  spins: () => {
    sayReady();
    for (;;) poll(0);
  },
  opens: () => {
    sayReady();
    for (;;) openAndClose();
  },
  blocks: () => {
    sayReady();
    // The timer interrupts the native wait, not this call.
    waitFor(newFuture());
  },
  idles: () => void setImmediate(sayReady),
  echoes: () => {
    let left = ECHOES;
    for (let i = 0; i < PAIRS; i++) {
      asyncCheck(
        saturate(() => {
          if (--left === 0) sayReady();
        }),
      );
    }
  },
  looksUp: () => {
    for (let i = 0; i < 20; i++) start(dial("localhost", 1));
    sayReady();
  },
  // These end the Worker.
  exits: () => process.exit(EXIT_CODE),
  exitsInCallback: () => callSoon(() => process.exit(EXIT_CODE)),
  throws: () => {
    throw new Error("thrown at top level");
  },
  throwsInCallback: () =>
    callSoon(() => {
      throw new Error("thrown in a callback");
    }),
  unreferences: () => getGlobalDispatcher().unref(),
  finishes: () => asyncCheck(finish()),
} satisfies Record<string, () => void>;
export type Ending = keyof typeof endings;

function sayReady(): void {
  parentPort?.postMessage("ready");
}

/** Nobody waits for it. */
function start(future: Future<unknown>): void {
  future.addCallback(() => {});
}

function listener(): [AsyncFD, number] {
  const socket = createAsyncNativeSocket();
  bindAddr(socket, "127.0.0.1", 0);
  listen(socket);
  return [socket, getLocalAddr(socket)[1]];
}

/** One of everything that can be in flight. */
export function startEverything({ port, pid, fifo, fd, token, triggers }: Omit<WorkerTask, "ending">): void {
  // Two dispatchers more, of which Bun's loop drives one; it shall not keep a Worker from ending.
  newDispatcher();
  const second = newDispatcher();
  second.unref();
  setGlobalDispatcher(second);
  start(sleepAsync(60_000));
  setGlobalDispatcher(newDispatcher());
  start(recv(waitFor(dial("127.0.0.1", port)), 100));
  start(accept(listener()[0]));
  const datagrams = createAsyncNativeSocket(Domain.AF_INET, SockType.SOCK_DGRAM);
  bindAddr(datagrams, "127.0.0.1", 0);
  start(recvFrom(datagrams, 100));
  start(sleepAsync(60_000));
  addTimer(1, false, () => false);
  addProcess(pid, () => false);
  start(waitProcess(pid));
  if (!isWindows) addSignal("SIGUSR2", () => false);
  if (fifo !== undefined) start(openAsync(fifo).read(100));
  if (ownsFiles) start(openAsync(import.meta.path).readAll());
  start(dial("localhost", port));
  register(fd);
  addRead(fd, () => false);
  addEvent(newAsyncEvent(), () => false);
  const event = AsyncEvent.from(token);
  Atomics.add(new Int32Array(triggers), 0, 1);
  event.trigger();
}

if (workerData !== null && typeof workerData === "object" && "ending" in workerData) {
  const task = workerData as WorkerTask;
  if (task.ending !== "finishes") startEverything(task);
  endings[task.ending]();
}
