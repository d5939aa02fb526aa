import { afterEach, describe, expect, test } from "bun:test";
import { runExample, startExample } from "./example-process.ts";

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

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
    const { text, exitCode } = await runExample("udp-echo.ts");
    const lines = text.split("\n");
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
    expect(exitCode).toBe(0);
  });

  test("with a port serves others, one after the other", async () => {
    const [, digits] = await startExample("udp-echo.ts", ["0"]).output.until(/port (\d+)\n/);
    const port = Number(digits);
    expect(await answerTo(port, "one")).toBe("one");
    expect(await answerTo(port, "two")).toBe("two");
  });
});
