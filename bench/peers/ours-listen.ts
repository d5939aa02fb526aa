// What the servers on this library have in common.
import {
  type AsyncFD,
  bindAddr,
  createAsyncNativeSocket,
  getLocalAddr,
  listen,
  SOBool,
  setSockOpt,
} from "../../src/index.ts";

/** How many bytes a server reads at once. */
export const readBytes = Number(process.argv[2] ?? 16384);

/** A listening socket, whose port is printed for the driver. */
export function listenOnLoopback(): AsyncFD {
  const server = createAsyncNativeSocket();
  setSockOpt(server, SOBool.OptReuseAddr, true);
  bindAddr(server, "127.0.0.1", 0);
  listen(server);
  console.log(`port ${getLocalAddr(server)[1]}`);
  return server;
}
