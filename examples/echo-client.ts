// Sends lines to an echo server and prints what comes back.
//
//   bun run examples/echo-client.ts <host> <port>                        sends three lines
//   printf 'one\ntwo\n' | bun run examples/echo-client.ts <host> <port>  sends the lines of its standard input
import { readFileSync } from "node:fs";
import { isatty } from "node:tty";
import { type AsyncFD, async, closeSocket, dial, recv, send, waitFor } from "asyncdispatch";

const [host, port] = process.argv.slice(2);
if (host === undefined || port === undefined) {
  console.error("usage: bun run examples/echo-client.ts <host> <port>");
  process.exit(2);
}

// A terminal is not read: examples/watch-fd.ts shows how to wait for one without holding up the loop.
const input = isatty(0) ? "" : readFileSync(0, "utf8");
const lines = input === "" ? ["hello", "this is an echo client", "bye"] : input.replace(/\n$/, "").split("\n");

/** TCP is a stream of bytes: what was sent at once may arrive in several parts. */
const recvExactly = async(function* (socket: AsyncFD, size: number) {
  const parts: Buffer[] = [];
  for (let missing = size; missing > 0; ) {
    const part = yield* recv(socket, missing);
    if (part.length === 0) throw new Error("the server closed the connection");
    parts.push(part);
    missing -= part.length;
  }
  return Buffer.concat(parts);
});

const talk = async(function* () {
  const socket = yield* dial(host, Number(port));
  console.log(`connected to ${host} port ${port}`);
  try {
    for (const line of lines) {
      const message = Buffer.from(`${line}\n`);
      console.log(`> ${line}`);
      yield* send(socket, message);
      const reply = yield* recvExactly(socket, message.length);
      console.log(`< ${reply.toString().trimEnd()}`);
    }
  } finally {
    closeSocket(socket);
  }
});

try {
  waitFor(talk());
} catch (error) {
  console.error(`echo-client: ${(error as Error).message}`);
  process.exitCode = 1;
}
