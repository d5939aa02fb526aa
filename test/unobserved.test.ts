import { expect, test } from "bun:test";
import { runScript } from "./children.ts";

/**
 * Runs `body` in another process, which can fail and drop futures; then collects garbage until the failure of
 * `sentinel`, which is dropped last, is reported. Gives the other warnings.
 */
function warningsOf(
  body: string,
  env: Record<string, string> = {},
): { name: string; message: string; detail?: string }[] {
  const script = `
    import * as library from "./src/index.ts";
    const { all, and, async, asyncCheck, callSoon, Future, newFuture, newFutureVar, newDispatcher, or, poll } = library;
    const { setGlobalDispatcher, sleepAsync, waitFor, withTimeout } = library;
    const warnings = [];
    let reported = false;
    process.on("warning", ({ name, message, detail }) => {
      if (message.includes("sentinel")) reported = true;
      else warnings.push({ name, message, detail });
    });
    function fail(name = "dropped") {
      const future = newFuture(name);
      future.fail(new Error("reason"));
      return future;
    }
    function drop(name) {
      fail(name);
    }
    await (async () => { ${body} })();
    // Something else on the stack, where the last references were.
    for (let i = 0; i < 100 && !reported; i++) {
      drop("sentinel");
      await new Promise((resolve) => setTimeout(resolve, 0));
      Bun.gc(true);
    }
    console.log(JSON.stringify({ reported, warnings }));`;
  const { stdout, stderr } = runScript(script, [], env);
  if (stdout === "") throw new Error(`the child said nothing:\n${stderr}`);
  const { reported, warnings } = JSON.parse(stdout);
  if (!reported) throw new Error("nothing was collected");
  return warnings;
}

const REPORT = "A future of dropped failed and nobody looked at it: Error: reason";

test("a failure that nobody looked at is reported with its maker when the future is collected", () => {
  expect(warningsOf("drop();")).toEqual([{ name: "UnobservedFutureWarning", message: REPORT } as never]);
});

test("with future logging, the report says where the future was created", () => {
  const [warning] = warningsOf("drop();", { FUTURE_LOGGING: "1" });
  expect(warning?.message).toBe(REPORT);
  expect(warning?.detail).toMatch(/^Created:\n {4}at fail /);
});

test("a procedure that fails and is dropped is reported", () => {
  const body = `async(function* dropped() { throw new Error("reason"); })();`;
  expect(warningsOf(body).map(({ message }) => message)).toEqual([REPORT]);
});

test("a procedure that fails later and is dropped is reported", () => {
  const body = `
    (() => { async(function* dropped() { yield* sleepAsync(0); throw new Error("reason"); })(); })();
    poll();`;
  expect(warningsOf(body).map(({ message }) => message)).toEqual([REPORT]);
});

test("an operation with a signal that fails and is dropped is reported", () => {
  const body = `
    (() => {
      const socket = library.createAsyncNativeSocket();
      library.recv(socket, 1, { signal: new AbortController().signal });
      library.closeSocket(socket);
    })();`;
  expect(warningsOf(body).map(({ message }) => message)).toEqual([
    "A future of recv failed and nobody looked at it: OSError: close EBADF",
  ]);
});

test("a FutureVar is reported, and after clean it is not", () => {
  const body = `
    (() => { newFutureVar("dropped").fail(new Error("reason")); })();
    (() => { const cleaned = newFutureVar("cleaned"); cleaned.fail(new Error("reason")); cleaned.clean(); })();`;
  expect(warningsOf(body).map(({ message }) => message)).toEqual([REPORT]);
});

test("a future that is alive is not reported", () => {
  expect(warningsOf("globalThis.alive = fail();")).toEqual([]);
});

test.each([
  ["a callback before it fails", "const f = newFuture(); f.addCallback(() => {}); f.fail(new Error()); poll();"],
  ["a callback after it failed", "fail().addCallback(() => {}); poll();"],
  [
    "a callback that was taken back",
    "const f = newFuture(); const c = () => {}; f.addCallback(c); f.removeCallback(c); f.fail(new Error());",
  ],
  [
    "callbacks that were cleared",
    "const f = newFuture(); f.addCallback(() => {}); f.clearCallbacks(); f.fail(new Error());",
  ],
  ["read", "try { fail().read(); } catch {}"],
  ["readError", "fail().readError();"],
  ["error", "fail().error;"],
  ["failed", "fail().failed;"],
  ["asyncCheck", "asyncCheck(fail()); try { poll(); } catch {}"],
  ["waitFor", "try { waitFor(fail()); } catch {}"],
  ["await", "try { await fail(); } catch {}"],
  ["catch", "fail().catch(() => {}); await null;"],
  ["yield*", "waitFor(async(function* () { try { yield* fail(); } catch {} })());"],
  ["yield", "waitFor(async(function* () { yield fail(); })());"],
])("a failure is not reported after %s", (_, body) => {
  expect(warningsOf(body)).toEqual([]);
});

test("the losers of or, all, and, withTimeout are not reported", () => {
  const body = `
    const completed = newFuture();
    completed.complete();
    const late = [1, 2, 3, 4].map((n) => newFuture("loser " + n));
    waitFor(or(completed, late[0]));
    for (const combined of [and(fail(), late[1]), all([fail(), late[2]])]) try { waitFor(combined); } catch {}
    waitFor(withTimeout(late[3], 0));
    for (const loser of late) loser.fail(new Error("late"));`;
  expect(warningsOf(body)).toEqual([]);
});

test("what the program itself gave up is not reported", () => {
  const body = `
    sleepAsync(60_000).cancel();
    const dispatcher = newDispatcher();
    setGlobalDispatcher(dispatcher);
    sleepAsync(60_000);
    dispatcher.close();`;
  expect(warningsOf(body)).toEqual([]);
});
