import { type Future, waitFor as waitForever, withTimeout } from "../src/index.ts";
import { isQemu } from "./qemu.ts";

/**
 * As the library's `waitFor`, but it gives up after a while: Bun's time limit for a test cannot interrupt a
 * thread that is blocked.
 */
export function waitFor<T>(future: Future<T>, timeoutMs = isQemu ? 40_000 : 4000): T {
  if (!future.finished && !waitForever(withTimeout(future, timeoutMs))) {
    throw new Error(`${future} is not finished after ${timeoutMs} ms`);
  }
  return future.read();
}

/** Waits for a future to fail, and gives its error. */
export function failureOf(future: Future<unknown>): unknown {
  try {
    waitFor(future);
  } catch (error) {
    return error;
  }
  throw new Error(`${future} did not fail`);
}
