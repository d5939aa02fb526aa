// The results of asynchronous work, in functions that are not asynchronous: waitFor in place of the npm package deasync,
// whose native code turns the loop of libuv, which Bun does not have.
//
//   bun run examples/deasync.ts
//
// Use it at the edges only: a script, a constructor, a hook that must return a value. The whole thread waits, and of all
// that is asynchronous only this library's work goes on. The end of this program shows what does not.
import {
  type AsyncFD,
  accept,
  async,
  asyncCheck,
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  dial,
  Future,
  getLocalAddr,
  listen,
  newFuture,
  type Port,
  recv,
  send,
  sleepAsync,
  ValueError,
  waitFor,
  waitProcess,
  withTimeout,
} from "asyncdispatch";

// A server in this very thread: it answers while the functions below wait for it.
const serve = async(function* (listener: AsyncFD) {
  for (let left = 2; left > 0; left--) {
    const client = yield* accept(listener);
    const question = yield* recv(client, 4096);
    yield* send(client, question.toString().toUpperCase());
    closeSocket(client);
  }
});

const ask = async(async (port: Port, question: string) => {
  const socket = await dial("127.0.0.1", port);
  try {
    await send(socket, question);
    return (await recv(socket, 4096)).toString();
  } finally {
    closeSocket(socket);
  }
});

/** A procedure's result in place. */
function askSync(port: Port, question: string): string {
  return waitFor(ask(port, question));
}

type NodeCallback<T> = (error: Error | null, value?: T) => void;

/** As `deasync(fn)`: of a function that calls back, one that returns. */
function deasync<A extends unknown[], T>(fn: (...args: [...A, NodeCallback<T>]) => void): (...args: A) => T {
  return (...args) => {
    const called = newFuture<T>(fn.name);
    fn(...args, (error, value) => (error === null ? called.complete(value as T) : called.fail(error)));
    return waitFor(called);
  };
}

function askWithCallback(port: Port, question: string, callback: NodeCallback<string>): void {
  ask(port, question).then(
    (answer) => callback(null, answer),
    (error: Error) => callback(error),
  );
}

/** As `deasync.sleep(ms)`. */
function sleepSync(ms: number): void {
  waitFor(sleepAsync(ms));
}

/** The exit code of a child that Bun started. Its output must not be piped: reading that is Bun's work. */
function runSync(...command: string[]): number | null {
  return waitFor(waitProcess(Bun.spawn(command, { stdio: ["ignore", "inherit", "inherit"] }).pid)).exitCode;
}

const listener = createAsyncNativeSocket();
bindAddr(listener, "127.0.0.1", 0);
listen(listener);
const port = getLocalAddr(listener)[1];
asyncCheck(serve(listener));

console.log(`asked in place: ${askSync(port, "hello")}`);
console.log(`through a callback: ${deasync(askWithCallback)(port, "bye")}`);
closeSocket(listener);
try {
  askSync(port, "anybody there?");
} catch (error) {
  console.log(`an error is thrown in place: ${(error as Error).message.replace(`:${port}`, "")}`);
}
console.log(`a child's exit code: ${runSync(process.execPath, "-e", "process.exit(3)")}`);

// The limits. Bun's timers, sockets and fetches stand still while this thread waits...
let fired = false;
const timer = new Promise<void>((resolve) =>
  setTimeout(() => {
    fired = true;
    resolve();
  }, 1),
);
sleepSync(50);
console.log(`a timer of Bun, due after 1 ms, has fired after 50 ms: ${fired}`);

// ...so that what Bun has to finish does not finish. Where that may be, wait with a time limit...
const inTime = waitFor(withTimeout(Future.from(timer), 50));
console.log(`waiting for it has helped: ${inTime}`);

// ...for an endless wait is an error only when nothing else is pending that it could be waiting for.
try {
  waitFor(timer);
} catch (error) {
  if (!(error instanceof ValueError)) throw error;
  console.log(`waitFor: ${error.message}`);
}

await timer; // gives the thread back to Bun's loop
console.log(`once Bun's loop runs again, it fires: ${fired}`);
