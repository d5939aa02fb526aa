// A server that tells Prometheus what it is waiting for.
//
//   bun run examples/prometheus.ts [port]
//
// http://127.0.0.1:<port>/metrics are the metrics; any other path takes five seconds of pretended work. Ask for
// some, and asyncdispatch_futures_in_progress{from_proc="work"} says how many are being waited for. Ctrl-C ends it.
import {
  type AsyncFD,
  accept,
  async,
  asyncCheck,
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  Future,
  getLocalAddr,
  listen,
  OSError,
  recv,
  SOBool,
  send,
  setFutureLogging,
  setSockOpt,
  sleepAsync,
} from "asyncdispatch";
import { registerMetrics } from "asyncdispatch/prometheus";
import { Registry } from "prom-client";

const MAX_HEAD_BYTES = 8192;
const WORK_MS = 5000;

const registry = new Registry();
setFutureLogging(true); // from here on, futures are counted by who made them
registerMetrics({ registry });

const work = async(function* work() {
  yield* sleepAsync(WORK_MS);
  return "done\n";
});

/** The path of a request; undefined when it is no GET, or too long. */
const readPath = async(function* readPath(client: AsyncFD) {
  let head = "";
  while (!head.includes("\r\n\r\n")) {
    const data = yield* recv(client, 4096);
    if (data.length === 0 || head.length > MAX_HEAD_BYTES) return undefined;
    head += data.toString("latin1");
  }
  return /^GET (\S+) HTTP\/1\.[01]\r\n/.exec(head)?.[1];
});

const serve = async(function* serve(client: AsyncFD) {
  try {
    const path = yield* readPath(client);
    if (path === undefined) return;
    const body = path === "/metrics" ? yield* Future.from(registry.metrics()) : yield* work();
    const head = ["HTTP/1.1 200 OK", `Content-Type: ${registry.contentType}`, "Connection: close"];
    yield* send(client, `${head.join("\r\n")}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  } catch (error) {
    if (!(error instanceof OSError)) throw error; // a broken connection is not the server's end
  } finally {
    closeSocket(client);
  }
});

const acceptClients = async(function* acceptClients(listener: AsyncFD) {
  for (;;) asyncCheck(serve(yield* accept(listener)));
});

const listener = createAsyncNativeSocket();
setSockOpt(listener, SOBool.OptReuseAddr, true);
bindAddr(listener, "127.0.0.1", Number(process.argv[2] ?? 0)); // 0: the system chooses
listen(listener);
console.log(`listening on http://127.0.0.1:${getLocalAddr(listener)[1]}/metrics`);
asyncCheck(acceptClients(listener));
