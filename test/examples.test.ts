import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isWindows } from "./descriptors.ts";
import { exampleCommand, start, startExample, Transcript } from "./example-process.ts";
import { removeFolder } from "./folders.ts";
import { isQemu } from "./qemu.ts";

const root = join(import.meta.dir, "..");
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startServer(name: string): Promise<{ port: number; child: Bun.Subprocess; output: Transcript }> {
  const { child, output } = startExample(name);
  const [, port] = await output.until(/(?:port |127\.0\.0\.1:)(\d+)/);
  return { port: Number(port), child, output };
}

/** A client made of a plain socket of node:net. */
async function joinServer(port: number): Promise<{ socket: Socket; received: Transcript }> {
  const received = new Transcript();
  const socket = connect(port, "127.0.0.1");
  cleanups.push(() => socket.destroy());
  socket.setEncoding("latin1");
  socket.on("data", (data) => received.add(String(data)));
  socket.on("close", () => received.end());
  socket.on("error", () => undefined);
  await new Promise<void>((resolve) => socket.once("connect", resolve));
  return { socket, received };
}

async function run(command: string[]): Promise<string> {
  const { child, output } = start(command);
  const text = await output.all();
  expect(`${text}exit code ${await child.exited}`).toEndWith("exit code 0");
  return text;
}

describe("echo.ts", () => {
  test("prints a conversation and exits with 0", async () => {
    const text = await run([process.execPath, "run", "examples/echo.ts"]);
    expect(text).toContain('server: received "how are you?"\nclient: received "how are you?"\n');
    expect(text).toEndWith("server: the client closed its connection\ndone\n");
  });
});

const PYTHON_CLIENT = `
import socket, sys, threading
data = bytes(range(256)) * 8192
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
    threading.Thread(target=s.sendall, args=(data,)).start()
    back = b""
    while len(back) < len(data):
        part = s.recv(65536)
        if not part: sys.exit("closed")
        back += part
print("same" if back == data else "different")
`;

describe("echo-server.ts", () => {
  test.skipIf(Bun.which("python3") === null)("gives a Python client 2 MiB back (skipped without python3)", async () => {
    const { port } = await startServer("echo-server.ts");
    expect(await run(["python3", "-c", PYTHON_CLIENT, String(port)])).toBe("same\n");
  });

  test("survives a client that resets its connection", async () => {
    const { port, output } = await startServer("echo-server.ts");
    const broken = await joinServer(port);
    broken.socket.write("x");
    await broken.received.until(/x/);
    broken.socket.resetAndDestroy();
    await output.until(/left after/);
    const { socket, received } = await joinServer(port);
    socket.write("still there?");
    await received.until(/still there\?/);
  });

  test("ends by SIGINT", async () => {
    const { child } = await startServer("echo-server.ts");
    child.kill("SIGINT");
    await child.exited;
    expect(child.signalCode).toBe("SIGINT");
  });
});

describe("echo-client.ts", () => {
  test("sends the lines of its standard input and prints them back", async () => {
    const { port } = await startServer("echo-server.ts");
    const { child, output } = start(exampleCommand("echo-client.ts", "localhost", String(port)), {
      stdin: "pipe",
    });
    (child.stdin as Bun.FileSink).write("one\ntwo\n");
    (child.stdin as Bun.FileSink).end();
    expect(await output.all()).toEndWith("> one\n< one\n> two\n< two\n");
    expect(await child.exited).toBe(0);
  });

  test("says why it cannot connect and exits with 1", async () => {
    const { port, child: server } = await startServer("echo-server.ts");
    server.kill("SIGKILL");
    await server.exited;
    const { child, output } = start(exampleCommand("echo-client.ts", "127.0.0.1", String(port)), {
      stdin: "pipe",
    });
    (child.stdin as Bun.FileSink).end();
    expect(await output.all()).toBe(`echo-client: connect ECONNREFUSED 127.0.0.1:${port}\n`);
    expect(await child.exited).toBe(1);
  });
});

async function joinChat(port: number, name: string) {
  const member = await joinServer(port);
  member.socket.write(`${name}\n`);
  await member.received.until(/Welcome/);
  return member;
}

describe("chat.ts", () => {
  test("tells everybody who joins, what is said and who leaves", async () => {
    const { port } = await startServer("chat.ts");
    const ann = await joinChat(port, "Ann");
    const bob = await joinChat(port, "Bob");
    await bob.received.until(/Here: Ann/);
    await ann.received.until(/\* Bob joined\n/);
    bob.socket.write("hi the");
    bob.socket.write("re\n");
    await ann.received.until(/Bob: hi there\n/);
    bob.socket.end();
    await ann.received.until(/\* Bob left\n/);
  });

  test.skipIf(Bun.which("nc") === null)("lets nc join (skipped without nc)", async () => {
    const { port } = await startServer("chat.ts");
    const nc = start(["nc", "127.0.0.1", String(port)], { stdin: "pipe" });
    const stdin = nc.child.stdin as Bun.FileSink;
    stdin.write("Ann\n");
    stdin.flush();
    await nc.output.until(/Welcome, Ann/);
    const bob = await joinChat(port, "Bob");
    stdin.write("from nc\n");
    stdin.flush();
    await bob.received.until(/Ann: from nc\n/);
    bob.socket.write("to nc\n");
    await nc.output.until(/Bob: to nc\n/);
  });

  test("shuts a member out that does not read, and serves the others meanwhile", async () => {
    const { port } = await startServer("chat.ts");
    const slow = await joinChat(port, "Slow");
    slow.socket.pause();
    const ann = await joinChat(port, "Ann");
    const bob = await joinChat(port, "Bob");
    const lines = `${"x".repeat(4000)}\n`.repeat(64);
    for (let round = 0; !/Slow does not read/.test(bob.received.text); round++) {
      bob.received.text = "";
      ann.socket.write(`${lines}round ${round} ends\n`);
      await bob.received.until(new RegExp(`Ann: round ${round} ends\n`));
    }
    ann.socket.write("bye\n");
    await bob.received.until(/Ann: bye\n/);
  });

  test("goes on when a member's connection is reset", async () => {
    const { port } = await startServer("chat.ts");
    const ann = await joinChat(port, "Ann");
    const bob = await joinChat(port, "Bob");
    bob.socket.resetAndDestroy();
    await ann.received.until(/\* Bob left/);
    const cat = await joinChat(port, "Cat");
    ann.socket.write("hello\n");
    await cat.received.until(/Ann: hello\n/);
  });
});

const GET = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const OK = /HTTP\/1\.1 200 OK\r\n[\s\S]*?\r\n\r\nHello, world!\n/;

describe("http.ts", () => {
  /** Sends requests and gives all that the server answers until it closes the connection. */
  async function answersTo(...parts: string[]): Promise<string> {
    const { port } = await startServer("http.ts");
    const { socket, received } = await joinServer(port);
    for (const part of parts) {
      socket.write(part, "latin1");
      await new Promise((resolve) => setImmediate(resolve));
    }
    return received.all();
  }

  /** The same from a client that says that it sends no more, so that the server need not wait for it to go. */
  async function lastAnswersTo(request: string): Promise<string> {
    const { port } = await startServer("http.ts");
    const { socket, received } = await joinServer(port);
    socket.end(request, "latin1");
    return received.all();
  }

  test.skipIf(Bun.which("curl") === null)("greets curl (skipped without curl)", async () => {
    const { port } = await startServer("http.ts");
    const url = `http://127.0.0.1:${port}/`;
    const text = await run(["curl", "-s", "-w", "%{http_code} %{num_connects}\n", url, url]);
    expect(text).toBe("Hello, world!\n200 1\nHello, world!\n200 0\n");
  });

  test("keeps the connection of HTTP/1.1 open", async () => {
    const { port } = await startServer("http.ts");
    const { socket, received } = await joinServer(port);
    for (let request = 0; request < 3; request++) {
      received.text = "";
      socket.write(GET);
      expect((await received.until(OK))[0]).toContain("Connection: keep-alive");
    }
  });

  test("answers 20 000 pipelined requests (4 000 under qemu), in time and each once", async () => {
    const count = isQemu ? 4000 : 20_000;
    const text = await answersTo(GET.repeat(count), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(text.match(/Hello, world!/g)?.length).toBe(count + 1);
  });

  test("closes after Connection: close", async () => {
    expect(await answersTo("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).toContain("Connection: close");
  });

  test("closes after a request of HTTP/1.0", async () => {
    expect(await answersTo("GET / HTTP/1.0\r\n\r\n")).toMatch(OK);
  });

  test("takes a request that arrives byte by byte", async () => {
    expect(await answersTo(..."GET / HTTP/1.0\r\nA: b\r\n\r\n")).toMatch(OK);
  });

  test("skips a request's body", async () => {
    const post = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${"GET /\r\n\r\n ".repeat(10_000)}`;
    const text = await answersTo(post, "GET / HTTP/1.0\r\n\r\n");
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 200"]);
  });

  test("answers HEAD without a body", async () => {
    const text = await answersTo("HEAD / HTTP/1.0\r\n\r\n");
    expect(text).toContain("Content-Length: 14");
    expect(text).toEndWith("\r\n\r\n");
  });

  test.each([
    ["no request at all", "hello\r\n\r\n"],
    ["lines that end with LF alone", "GET / HTTP/1.1\nHost: x\n\n"],
    ["another version", "GET / HTTP/3.0\r\nHost: x\r\n\r\n"],
    ["no host", "GET / HTTP/1.1\r\n\r\n"],
    ["a header without a colon", "GET / HTTP/1.1\r\nHost: x\r\nwrong\r\n\r\n"],
    ["a space before the colon", "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n"],
    ["a negative length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"],
    ["two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
  ])("answers %s with 400", async (_what, request) => {
    expect(await lastAnswersTo(request)).toStartWith("HTTP/1.1 400 Bad Request\r\n");
  });

  test("closes after a bad request", async () => {
    expect(await answersTo("hello\r\n\r\n")).toContain("Connection: close");
  });

  test("answers a head of more than 8 KiB with 431, also when it never ends", async () => {
    expect(await lastAnswersTo(`GET / HTTP/1.1\r\nA: ${"b".repeat(9000)}`)).toStartWith("HTTP/1.1 431 ");
  });
});

describe.skipIf(isWindows)("watch-fd.ts (skipped on Windows, where only sockets are watched)", () => {
  test("prints what arrives on standard input, until its end", async () => {
    const { child, output } = start(exampleCommand("watch-fd.ts"), { stdin: "pipe" });
    const stdin = child.stdin as Bun.FileSink;
    await output.until(/watching standard input\n/);
    stdin.write("one");
    stdin.flush();
    await output.until(/read 3 bytes: "one"\n/);
    stdin.end();
    expect(await output.all()).toEndWith("standard input has ended\n");
    expect(await child.exited).toBe(0);
  });

  test("watches a FIFO by its path", async () => {
    const directory = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
    cleanups.push(() => removeFolder(directory));
    const fifo = join(directory, "fifo");
    await run(["mkfifo", fifo]);
    const { child, output } = startExample("watch-fd.ts", [fifo]);
    await output.until(/watching /);
    writeFileSync(fifo, "hello\n");
    expect(await output.all()).toEndWith(`read 6 bytes: "hello\\n"\n${fifo} has ended\n`);
    expect(await child.exited).toBe(0);
  });

  test("says that a regular file cannot be watched", async () => {
    const { child, output } = start(exampleCommand("watch-fd.ts"), { stdin: Bun.file(join(root, "package.json")) });
    expect(await output.all()).toStartWith("standard input cannot be watched: Operation not permitted (code: 1).");
    expect(await child.exited).toBe(1);
  });
});
