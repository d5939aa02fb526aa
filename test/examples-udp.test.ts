import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function start(...args: string[]) {
  const command = [process.execPath, "run", "examples/udp-echo.ts", ...args];
  const child = Bun.spawn(command, { cwd: root, stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  cleanups.push(() => {
    child.kill("SIGKILL");
    return child.exited;
  });
  return child;
}

/** The port of a server that was started to choose one. */
async function portOf(child: ReturnType<typeof start>): Promise<number> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const part of child.stdout) {
    text += decoder.decode(part, { stream: true });
    const port = text.match(/port (\d+)\n/)?.[1];
    if (port !== undefined) return Number(port);
  }
  throw new Error(`ended without a port:\n${text}`);
}

/** Gives the answer to a datagram of a plain socket of Bun's. */
async function answerTo(port: number, question: string): Promise<string> {
  const answer = Promise.withResolvers<string>();
  const socket = await Bun.udpSocket({ socket: { data: (_socket, data) => answer.resolve(data.toString()) } });
  cleanups.push(() => socket.close());
  socket.send(question, port, "127.0.0.1");
  return answer.promise;
}

describe("udp-echo.ts", () => {
  test("prints a conversation and exits with 0", async () => {
    const child = start();
    const lines = (await child.stdout.text()).split("\n");
    expect(lines.slice(1).map((line) => line.replace(/port \d+/, "port N"))).toEqual([
      "server: 5 bytes from 127.0.0.1 port N",
      'client: received "hello"',
      "server: 12 bytes from 127.0.0.1 port N",
      'client: received "how are you?"',
      "server: 0 bytes from 127.0.0.1 port N",
      'client: received ""',
      "done",
      "",
    ]);
    expect(await child.exited).toBe(0);
  });

  test("with a port serves others, one after the other", async () => {
    const port = await portOf(start("0"));
    expect(await answerTo(port, "one")).toBe("one");
    expect(await answerTo(port, "two")).toBe("two");
  });
});
