// The bell that Bun accepts, which serves on Windows; it works on every system.
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  type AsyncFD,
  bindAddr,
  closeSocket,
  connect,
  createAsyncNativeSocket,
  getLocalAddr,
  recv,
  send,
  waitFor,
} from "../src/index.ts";
import { AcceptedBell } from "../src/native/bell.ts";

/** Whom the bell lets in. */
let peer: AsyncFD;
let bell: AcceptedBell;
let rings: number;
let rung: PromiseWithResolvers<void>;

beforeEach(() => {
  peer = createAsyncNativeSocket();
  bindAddr(peer, "127.0.0.1", 0);
  rings = 0;
  rung = Promise.withResolvers();
});

afterEach(() => {
  bell.terminate();
  closeSocket(peer);
});

/** A bell to which the peer connects unless it does so later, and the port for that. */
function openBell(connectPeer: (port: number) => void): number {
  let port = 0;
  const connectToBell = (bellPort: number) => {
    port = bellPort;
    connectPeer(port);
    return getLocalAddr(peer)[1];
  };
  bell = new AcceptedBell(connectToBell, () => {
    rings += 1;
    rung.resolve();
  });
  return port;
}

const connectNow = (socket: AsyncFD) => (port: number) => waitFor(connect(socket, "127.0.0.1", port));

test("what was rung before Bun accepted the connection is not lost", async () => {
  openBell(connectNow(peer));
  waitFor(send(peer, "!"));
  expect(rings).toBe(0);
  await rung.promise;
  expect(rings).toBe(1);
});

test("a stranger is not let in and rings nothing, before the peer came and after", async () => {
  const stranger = createAsyncNativeSocket();
  const port = openBell(connectNow(stranger));
  waitFor(send(stranger, "!"));
  expect(String(await recv(stranger, 1).catch(() => ""))).toBe("");
  closeSocket(stranger);
  await connect(peer, "127.0.0.1", port);
  await send(peer, "!");
  await rung.promise;
  expect(rings).toBe(1);
  const late = createAsyncNativeSocket();
  expect(() => connectNow(late)(port)).toThrow("ECONNREFUSED");
  closeSocket(late);
});

test("terminated before Bun accepted the connection, it ends that", async () => {
  openBell(connectNow(peer));
  bell.terminate();
  expect(String(await recv(peer, 1).catch(() => ""))).toBe("");
});

test("when the peer cannot connect, nobody listens any more", () => {
  let port = 0;
  const refuse = (bellPort: number) => {
    port = bellPort;
    throw new Error("refused");
  };
  expect(() => new AcceptedBell(refuse, () => {})).toThrow("refused");
  expect(() => connectNow(peer)(port)).toThrow("ECONNREFUSED");
});
