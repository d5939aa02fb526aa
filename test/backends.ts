import { afterEach, beforeEach, describe, expect } from "bun:test";
import { type Dispatcher, newDispatcher, type SelectorKind, setGlobalDispatcher } from "../src/index.ts";
import { closeOpened, isWindows, openDescriptors, openedSince } from "./descriptors.ts";

export {
  closeAfterTest,
  closeDescriptor,
  closeFileAfterTest,
  emptyFifo,
  isInheritable,
  isWindows,
  isWine,
  openFifo,
  openFifoEnds,
  readableFifo,
  readableFifos,
  readableNoSocket,
  readFrom,
  shutdownWriting,
  writeTo,
} from "./descriptors.ts";
export { abstractName, connectedPair, datagramSocket, listener } from "./sockets-helper.ts";

// Bun opens descriptors of its own for its first child process, on Windows for its first fetch; they are no leak.
if (isWindows) await fetchSomething();
else Bun.spawnSync(["true"]);

async function fetchSomething(): Promise<void> {
  // One of the descriptors is for IPv4, one for both.
  for (const where of [{ hostname: "127.0.0.1" }, {}]) {
    using server = Bun.serve({ ...where, port: 0, fetch: () => new Response("served") });
    await (await fetch(server.url)).text();
  }
}

const chosen = process.env.ASYNCDISPATCH_SELECTOR;

/** The selectors that the tests run on: all, or the one that is the default because `ASYNCDISPATCH_SELECTOR` says so. */
export const backends = (isWindows ? (["iocp"] as const) : (["epoll", "select"] as const)).filter(
  (name) => !chosen || name === chosen,
);

/**
 * Runs the tests in `body` once per selector. Each test has a new global dispatcher, which is closed after it;
 * then no descriptor must be left that was not open before.
 *
 * @param notOnWindows why they are skipped there
 */
export function onEachBackend(body: (selector: SelectorKind) => void, notOnWindows?: string): void {
  const isSkipped = isWindows && notOnWindows !== undefined;
  describe.skipIf(isSkipped).each([...backends])(isSkipped ? `%s (${notOnWindows})` : "%s", (selector) => {
    let dispatcher: Dispatcher;
    let before: string[];

    beforeEach(() => {
      before = openDescriptors();
      dispatcher = newDispatcher({ selector });
      setGlobalDispatcher(dispatcher);
    });

    afterEach(() => {
      try {
        dispatcher.close();
      } finally {
        setGlobalDispatcher(null);
        closeOpened();
      }
      // A lookup's thread closes the resolver's descriptor after the dispatcher; nothing tells when.
      const giveUp = performance.now() + 1000;
      while (openedSince(before).length > 0 && performance.now() < giveUp) Bun.sleepSync(1);
      expect(openedSince(before)).toEqual([]);
    });

    body(selector);
  });
}

/** A describe for each of these programs; those that watch signals are skipped where there are none. */
export function describeEach<P extends string | string[]>(
  name: string,
  programs: Record<string, P>,
  body: (program: P) => void,
): void {
  for (const [what, program] of Object.entries(programs)) {
    const isSkipped = isWindows && String(program).includes("addSignal(");
    const reason = isSkipped ? " (skipped on Windows, which has no signals)" : "";
    describe.skipIf(isSkipped)(`${name} ${what}${reason}`, () => body(program));
  }
}

/** How many milliseconds `body` takes. */
export function millisecondsOf(body: () => void): number {
  const start = performance.now();
  body();
  return performance.now() - start;
}

/** What `body` throws. */
export function thrownBy(body: () => unknown): unknown {
  try {
    body();
  } catch (error) {
    return error;
  }
  throw new Error("Nothing was thrown");
}

/** Expects `body` to throw an error of exactly this type with exactly this message. */
export function expectThrow(body: () => unknown, type: new (...args: never[]) => Error, message: string): void {
  const error = thrownBy(body) as Error;
  expect({ type: error.constructor, message: error.message }).toEqual({ type, message });
}
