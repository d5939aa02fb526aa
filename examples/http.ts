// An HTTP/1.1 server that says hello. Try it with curl, a browser or wrk.
//
//   bun run examples/http.ts [port]
//
// It keeps connections open, answers pipelined requests and skips request bodies. Ctrl-C ends it.
import {
  type AsyncFD,
  accept,
  async,
  asyncCheck,
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  getLocalAddr,
  listen,
  OSError,
  recv,
  runForever,
  SOBool,
  send,
  setSockOpt,
  withTimeout,
} from "asyncdispatch";

const MAX_HEAD_BYTES = 8192;
/** How long a refused client may take to read why. */
const FAREWELL_MS = 1000;
const HELLO = "Hello, world!\n";

interface Request {
  readonly method: string;
  readonly version: "1.0" | "1.1";
  readonly keepAlive: boolean;
  readonly bodyBytes: number;
  readonly expectsContinue: boolean;
}

/** A request that is answered with an error, after which the connection is closed. */
class Refusal extends Error {}

const BAD_REQUEST = "400 Bad Request";

/** @param head the request without the empty line at its end */
function parseHead(head: string): Request {
  const [requestLine = "", ...lines] = head.split("\r\n");
  const parts = /^([!#$%&'*+.^_`|~\w-]+) [!-~]+ HTTP\/(1\.[01])$/.exec(requestLine);
  if (parts === null) throw new Refusal(BAD_REQUEST);
  const [, method, version] = parts as unknown as [string, string, Request["version"]];
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).toLowerCase();
    if (colon < 1 || !/^[!#$%&'*+.^_`|~\w-]+$/.test(name)) throw new Refusal(BAD_REQUEST);
    const value = line.slice(colon + 1).trim();
    const earlier = headers.get(name);
    // Two lengths or two hosts: whom to believe?
    if (earlier !== undefined && (name === "content-length" || name === "host")) throw new Refusal(BAD_REQUEST);
    headers.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  if (version === "1.1" && !headers.has("host")) throw new Refusal(BAD_REQUEST);
  if (headers.has("transfer-encoding")) throw new Refusal("501 Not Implemented");
  const length = headers.get("content-length") ?? "0";
  if (!/^\d{1,15}$/.test(length)) throw new Refusal(BAD_REQUEST);
  const connection = (headers.get("connection") ?? "").toLowerCase().split(/\s*,\s*/);
  return {
    method,
    version,
    keepAlive: version === "1.1" ? !connection.includes("close") : connection.includes("keep-alive"),
    bodyBytes: Number(length),
    expectsContinue: version === "1.1" && headers.get("expect")?.toLowerCase() === "100-continue",
  };
}

function response(status: string, body: string, keepAlive: boolean, { headOnly = false } = {}): string {
  const connection = keepAlive ? "keep-alive" : "close";
  const head = `HTTP/1.1 ${status}\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: ${connection}\r\n`;
  return `${head}Date: ${new Date().toUTCString()}\r\n\r\n${headOnly ? "" : body}`;
}

/** The requests of one connection. What arrives goes in, the answers to what is complete come out. */
class Connection {
  isOver = false;
  refused = false;
  private rest: Buffer = Buffer.alloc(0);
  private bodyBytesLeft = 0;

  answer(data: Buffer): string {
    // What is kept is the beginning of one head, never a queue of requests: pipelining costs nothing extra.
    const input = this.rest.length === 0 ? data : Buffer.concat([this.rest, data]);
    let at = 0;
    let answers = "";
    try {
      while (!this.isOver) {
        const skipped = Math.min(this.bodyBytesLeft, input.length - at);
        this.bodyBytesLeft -= skipped;
        at += skipped;
        while (input[at] === 13 && input[at + 1] === 10) at += 2; // clients may send empty lines before a request
        const end = input.indexOf("\r\n\r\n", at);
        if (end === -1) break;
        if (end - at > MAX_HEAD_BYTES) throw new Refusal("431 Request Header Fields Too Large");
        answers += this.respond(parseHead(input.toString("latin1", at, end)));
        at = end + 4;
      }
      this.rest = input.subarray(at);
      if (this.rest.length > MAX_HEAD_BYTES) throw new Refusal("431 Request Header Fields Too Large");
      // A line that does not end with CR LF: the head would never be complete.
      if (/(^|[^\r])\n/.test(this.rest.toString("latin1"))) throw new Refusal(BAD_REQUEST);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.isOver = true;
      this.refused = true;
      answers += response(error.message, `${error.message}\n`, false);
    }
    return answers;
  }

  private respond({ method, keepAlive, bodyBytes, expectsContinue }: Request): string {
    this.bodyBytesLeft = bodyBytes;
    if (!keepAlive) this.isOver = true;
    const interim = expectsContinue && bodyBytes > 0 ? "HTTP/1.1 100 Continue\r\n\r\n" : "";
    return interim + response("200 OK", HELLO, keepAlive, { headOnly: method === "HEAD" });
  }

  /** Whether the client is still sending something that nobody will look at. */
  get hasUnreadInput(): boolean {
    return this.refused || this.bodyBytesLeft > 0;
  }
}

const serve = async(function* (client: AsyncFD) {
  try {
    const connection = new Connection();
    while (!connection.isOver) {
      const data = yield* recv(client, 65_536);
      if (data.length === 0) return;
      const answers = connection.answer(data);
      // Nothing more is read from a client until it has taken its answers.
      if (answers !== "") yield* send(client, answers);
    }
    if (connection.hasUnreadInput) yield* discardInput(client);
  } catch (error) {
    if (!(error instanceof OSError)) throw error; // a broken connection is not the server's end
  } finally {
    closeSocket(client);
  }
});

/** Closing a socket with unread input resets the connection, and the client could lose the answer. */
const discardInput = async(function* (client: AsyncFD) {
  const end = performance.now() + FAREWELL_MS;
  for (;;) {
    const data = recv(client, 65_536);
    const inTime = yield* withTimeout(data, end - performance.now());
    if (!inTime || (yield* data).length === 0) return;
  }
});

const acceptClients = async(function* (listener: AsyncFD) {
  for (;;) {
    try {
      const client = yield* accept(listener);
      setSockOpt(client, SOBool.OptNoDelay, true);
      asyncCheck(serve(client));
    } catch (error) {
      if (!(error instanceof OSError)) throw error;
      console.log(`cannot accept: ${error.message}`); // out of descriptors, for example
    }
  }
});

const listener = createAsyncNativeSocket();
setSockOpt(listener, SOBool.OptReuseAddr, true);
bindAddr(listener, "127.0.0.1", Number(process.argv[2] ?? 0)); // 0: the system chooses
listen(listener);
console.log(`listening on http://127.0.0.1:${getLocalAddr(listener)[1]}/`);
asyncCheck(acceptClients(listener));
runForever(); // Bun's loop would drive it as well; nothing of Bun's runs here, and blocking is a little quicker
