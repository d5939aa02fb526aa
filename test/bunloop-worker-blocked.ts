// A Worker that blocks natively, again and again, each time until somebody triggers the event whose token it was given.
import { parentPort, workerData } from "node:worker_threads";
import { AsyncEvent, type AsyncEventToken, addEvent, newFuture, poll, waitFor } from "../src/index.ts";

export interface BlockedTask {
  readonly call: "poll" | "waitFor";
  readonly token: AsyncEventToken;
}

if (workerData !== null && typeof workerData === "object" && "call" in workerData) {
  const { call, token } = workerData as BlockedTask;
  addEvent(AsyncEvent.from(token), () => false);
  parentPort?.postMessage("ready");
  if (call === "waitFor") waitFor(newFuture());
  for (;;) poll(-1);
}
