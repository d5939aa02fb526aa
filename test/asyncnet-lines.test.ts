import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { AsyncSocket } from "../src/asyncnet.ts";
import {
  AssertionDefect,
  async,
  asyncCheck,
  CancelledError,
  getGlobalDispatcher,
  newFutureVar,
  poll,
  SocketFlag,
  waitFor as waitForever,
} from "../src/index.ts";
import { own, pair, server } from "./asyncnet-helper.ts";
import { expectThrow, isWindows, onEachBackend, thrownBy } from "./backends.ts";
import { failureOf, waitFor } from "./bounded.ts";
import { cuts, linesOf, split, texts } from "./lines-helper.ts";

const allLines = async(function* (socket: AsyncSocket, maxLength?: number) {
  const lines: string[] = [];
  for (;;) {
    const line = yield* socket.recvLine(maxLength === undefined ? {} : { maxLength });
    if (line === "") return lines;
    lines.push(line);
  }
});

/** The lines that arrive when a text comes in these packets. */
function linesOver(packets: (string | Buffer)[], buffered: boolean, maxLength?: number): string[] {
  const [a, b] = pair(buffered);
  const lines = allLines(b, maxLength);
  for (const packet of packets) {
    waitForever(a.send(packet));
    poll(0);
  }
  a.close();
  const result = waitFor(lines);
  b.close();
  return result;
}

const PYTHON_CLIENT = `
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.sendall(sys.stdin.buffer.read())
connection.shutdown(socket.SHUT_WR)
sys.stdout.buffer.write(connection.makefile("rb").read())
`;

onEachBackend(() => {
  describe.each([
    ["buffered", true],
    ["unbuffered", false],
  ] as const)("recvLine of a socket that is %s", (_name, buffered) => {
    test.each<[string, string[], string[]]>([
      ["ends a line at CR LF", ["one\r\ntwo\r\n"], ["one", "two"]],
      ["ends a line at LF", ["one\ntwo\n"], ["one", "two"]],
      ["gives CR LF for an empty line", ["\r\n\na\n"], ["\r\n", "\r\n", "a"]],
      ["takes a lone CR for a part of the line (Q18, Q25)", ["ab\rcd\n"], ["ab\rcd"]],
      ["takes the first of two CR for a part of the line (Q18)", ["\r\r\n"], ["\r"]],
      ["knows CR LF that comes in two packets", ["one\r", "\ntwo\n"], ["one", "two"]],
      ["gives the last line that has no end (Q18)", ["one\ntwo"], ["one", "two"]],
      ["gives a CR at the very end as a part of the line (Q18)", ["one\r"], ["one\r"]],
      ["puts a line together", ["o", "n", "e", "\n"], ["one"]],
      ["gives nothing at the end", [], []],
    ])("%s", (_what, packets, lines) => {
      expect(linesOver(packets, buffered)).toEqual(lines);
    });

    test("keeps a character that is split over packets", () => {
      const bytes = Buffer.from("€😀\n");
      const packets = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
      expect(linesOver(packets, buffered)).toEqual(["€😀"]);
    });

    test.each<[string, string, number, string[]]>([
      ["gives maxLength bytes exactly, and the rest next (Q18)", "abcdefghij\r\n", 5, ["abcde", "fghij"]],
      ["gives a line of maxLength bytes with its end", "abcde\r\nx\n", 5, ["abcde", "x"]],
      ["counts a lone CR", "abcd\rx\n", 5, ["abcd\r", "x"]],
      ["cuts in front of a CR that ends nothing", "abcde\rx\n", 5, ["abcde", "\rx"]],
      ["breaks no character", "aa€€\n", 6, ["aa€", "€"]],
      ["gives a character whole that does not fit", "€😀é\n", 1, ["€", "😀", "é"]],
      ["cuts the last line, which has no end", "abcdefg", 3, ["abc", "def", "g"]],
    ])("%s", (_what, text, maxLength, lines) => {
      expect(linesOver([text], buffered, maxLength)).toEqual(lines);
      const bytes = Buffer.from(text);
      const packets = Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
      expect(linesOver(packets, buffered, maxLength)).toEqual(lines);
    });

    test("over any split into packets, gives the lines of the whole text", () => {
      fc.assert(
        fc.property(texts, cuts, (text, places) => {
          const lines = linesOf(text).map((line) => line || "\r\n");
          expect(linesOver(split(text, places), buffered)).toEqual(lines);
        }),
        { numRuns: 60 },
      );
    });

    test("with a maxLength, gives the same lines over any split, and loses nothing", () => {
      fc.assert(
        fc.property(texts, cuts, fc.integer({ min: 1, max: 6 }), (text, places, maxLength) => {
          const lines = linesOver(split(text, places), buffered, maxLength);
          expect(lines).toEqual(linesOver(text === "" ? [] : [text], !buffered, maxLength));
          for (const line of lines) {
            if (line !== "\r\n" && [...line].length > 1) {
              expect(Buffer.byteLength(line)).toBeLessThanOrEqual(maxLength);
            }
          }
          const joined = lines.map((line) => (line === "\r\n" ? "" : line)).join("");
          expect(joined).toBe(linesOf(text).join(""));
        }),
        { numRuns: 40 },
      );
    });

    test("leaves what follows the line to recv", () => {
      const [a, b] = pair(buffered);
      waitFor(a.send("line\r\nbody"));
      expect(waitFor(b.recvLine())).toBe("line");
      expect(waitFor(b.recv(4)).toString()).toBe("body");
    });

    test("cancelled, leaves the half of a line that had arrived", () => {
      const [a, b] = pair(buffered);
      const line = b.recvLine();
      waitFor(a.send("half"));
      while (!b.hasDataBuffered()) poll();
      line.cancel();
      expect(failureOf(line)).toBeInstanceOf(CancelledError);
      waitFor(a.send(" and half\n"));
      expect(waitFor(b.recvLine())).toBe("half and half");
    });

    test("gives several who wait one line each, in their order", () => {
      const [a, b] = pair(buffered);
      const lines = [b.recvLine(), b.recvLine(), b.recvLine()];
      waitFor(a.send("1\n2\n3\n"));
      expect(lines.map((line) => waitFor(line))).toEqual(["1", "2", "3"]);
    });

    test("gives a line of megabytes", () => {
      const [a, b] = pair(buffered);
      const long = "x".repeat(3_000_000);
      const sent = a.send(`${long}\r\n`);
      expect(waitFor(b.recvLine({ maxLength: long.length })) === long).toBe(true);
      waitFor(sent);
    });
  });

  test("recvLine takes what is buffered without the system", () => {
    const [a, b] = pair();
    waitFor(a.send("1\n2\n3\n"));
    expect(waitFor(b.recvLine())).toBe("1");
    const before = getGlobalDispatcher().statistics().polls;
    expect([b.recvLine().read(), b.recvLine().read()]).toEqual(["2", "3"]);
    expect(getGlobalDispatcher().statistics().polls).toBe(before);
  });

  test("recvLine of an unbuffered socket leaves in the socket what is behind the line", () => {
    const [a, b] = pair(false);
    waitFor(a.send("line\nrest"));
    expect(waitFor(b.recvLine())).toBe("line");
    expect(b.hasDataBuffered()).toBe(false);
  });

  test("recvLine refuses Peek", () => {
    const [socket] = pair();
    expectThrow(
      () => socket.recvLine({ flags: SocketFlag.Peek }),
      AssertionDefect,
      "recvLine: a line cannot be received with Peek",
    );
  });

  test("recvLineInto adds the line to what is in the variable, and completes it", () => {
    const [a, b] = pair();
    const line = newFutureVar<string>();
    line.value = "> ";
    waitFor(a.send("text\r\n"));
    waitFor(b.recvLineInto(line));
    expect(line.read()).toBe("> text");
  });

  test("recvLineInto completes the variable also when it fails", () => {
    const [, b] = pair();
    const line = newFutureVar<string>();
    const received = b.recvLineInto(line);
    b.close();
    expect(thrownBy(() => waitFor(received))).toMatchObject({ code: "EBADF" });
    expect(line.finished).toBe(true);
  });

  const serveLines = async(function* (client: AsyncSocket) {
    using socket = client;
    for (;;) {
      const line = yield* socket.recvLine();
      if (line === "") return;
      yield* socket.send(`${line.toUpperCase()}\r\n`);
    }
  });

  for (const [name, tool, command] of [
    ["nc", "nc", "nc -N 127.0.0.1 $0"],
    ["Python's makefile", "python3", `python3 -c '${PYTHON_CLIENT}' $0`],
  ] as const) {
    const isMissing = isWindows || Bun.which(tool) === null;
    test.skipIf(isMissing)(`a line protocol is spoken with ${name} (skipped without ${tool})`, async () => {
      const { listener, port } = server();
      const said = `printf 'one\\ntwo\\r\\n\\nthree' | ${command}`;
      const child = Bun.spawn(["sh", "-c", said, String(port)], { stdin: "ignore", stdout: "pipe" });
      const client = own(waitFor(listener.accept()));
      const served = serveLines(client);
      asyncCheck(served);
      waitFor(served, 15_000);
      expect(await child.stdout.text()).toBe("ONE\r\nTWO\r\n\r\n\r\nTHREE\r\n");
      expect(await child.exited).toBe(0);
    });
  }
});
