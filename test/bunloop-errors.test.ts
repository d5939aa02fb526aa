import { describe, expect, test } from "bun:test";
import { backends, describeEach, isWindows } from "./backends.ts";
import { programOf, runProgram } from "./bunloop-helper.ts";
import { type Outcome, runLimited } from "./children.ts";

/** Has `fail` thrown, whose error is known, out of a hosted callback of each kind. */
const callbacks: Record<string, string> = {
  addRead: `const [here, there] = await hostedPair(); send(here, "x"); addRead(there, fail);`,
  addWrite: `const [here] = await hostedPair(); addWrite(here, fail);`,
  "a one-shot addTimer": `addTimer(1, true, fail);`,
  "a periodic addTimer": `addTimer(1, false, fail);`,
  addProcess: `const child = Bun.spawn(exiting(0)); child.unref(); addProcess(child.pid, fail);`,
  addSignal: `addSignal("SIGUSR2", fail); setTimeout(() => process.kill(process.pid, "SIGUSR2"), 1);`,
  addEvent: `const event = newAsyncEvent(); addEvent(event, fail); event.trigger();`,
  callSoon: `callSoon(fail);`,
  "a future": `const future = newFuture(); future.addCallback(fail); future.complete();`,
};

const FAIL = `
  const error = new Error("boom");
  function fail() {
    throw error;
  }`;

describe.each([...backends])("%s", (selector) => {
  const run = (body: string) => runProgram(selector, body);

  describeEach("an exception in a callback of", callbacks, (begin) => {
    test("ends the process with code 1 and says where it was thrown", () => {
      const outcome = run(`
        function culprit() { throw new Error("boom"); }
        const fail = () => culprit();
        ${begin}
        setTimeout(() => process.exit(9), 5000);`);
      expect(outcome).toMatchObject({ stdout: "", exitCode: 1 });
      expect(outcome.stderr).toContain("error: boom\n      at culprit (");
    });

    test("comes to process.on('uncaughtException') as it is, and the loop goes on", () => {
      const outcome = run(`
        ${FAIL}
        let reports = 0;
        process.on("uncaughtException", (seen, origin) => {
          if (reports++ === 0) console.log(seen === error, origin);
        });
        ${begin}
        while (reports === 0) await sleepAsync(5);
        await sleepAsync(5);
        console.log("goes on");
        process.exit();`);
      expect(outcome).toEqual({ stdout: "true uncaughtException\ngoes on", stderr: "", exitCode: 0 });
    });
  });

  describe("a failed future that was passed to asyncCheck", () => {
    test("ends the process with code 1, and standard error names where it was made", () => {
      const { stderr, exitCode } = run(`
        const future = newFuture("fetchTheMail");
        asyncCheck(future);
        setTimeout(() => future.fail(new Error("no mail")), 1);`);
      expect(stderr).toStartWith("Uncaught error of a future:\n    at async fetchTheMail\n");
      expect(stderr).toContain("error: no mail\n");
      expect(exitCode).toBe(1);
    });

    test("names every procedure that the error has left", () => {
      const { stderr, exitCode } = run(`
        const inner = async(function* inner() { yield* sleepAsync(1); throw new TypeError("boom"); });
        const middle = async(async function middle() { await inner(); });
        const outer = async(function* outer() { yield* middle(); });
        asyncCheck(outer());`);
      expect(stderr).toStartWith(
        "Uncaught error of a future:\n    at async inner\n    at async middle\n    at async outer\n",
      );
      expect(stderr).toContain("TypeError: boom\n      at inner (");
      expect(exitCode).toBe(1);
    });

    test("comes to process.on('uncaughtException') as the same object with an asyncStack, and the loop goes on", () => {
      const outcome = run(`
        const error = new Error("boom");
        process.on("uncaughtException", (seen) => console.log(seen === error, seen.message, seen.asyncStack.trim()));
        const failing = async(function* failing() { yield* sleepAsync(1); throw error; });
        asyncCheck(failing());
        await sleepAsync(10);
        console.log("goes on");`);
      expect(outcome).toEqual({ stdout: "true boom at async failing\ngoes on", stderr: "", exitCode: 0 });
    });

    test("is refused a connection as any other error", () => {
      const { stderr, exitCode } = run(`
        const { socket, port } = listener();
        closeSocket(socket);
        asyncCheck(dial("127.0.0.1", port));`);
      expect(stderr).toContain("at async dial");
      expect(stderr).toContain("connect ECONNREFUSED 127.0.0.1");
      expect(exitCode).toBe(1);
    });
  });

  test("the other callbacks of the round still run, in order, whatever several of them throw", () => {
    const { stdout, exitCode } = run(`
      process.on("uncaughtException", ({ message }) => console.log("uncaught", message));
      for (let i = 0; i < 6; i++) {
        callSoon(() => {
          if (i % 2 === 0) throw new Error(String(i));
          console.log("called", i);
        });
      }`);
    const expected = ["uncaught 0", "called 1", "uncaught 2", "called 3", "uncaught 4", "called 5"];
    expect(stdout.split("\n")).toEqual(expected);
    expect(exitCode).toBe(0);
  });

  test("the other descriptors and timers of the round are served although one callback throws", () => {
    const { stdout, exitCode } = run(`
      process.on("uncaughtException", ({ message }) => console.log("uncaught", message));
      const pairs = [await hostedPair(), await hostedPair(), await hostedPair()];
      for (const [i, [here, there]] of pairs.entries()) {
        addRead(there, () => {
          console.log("read", i);
          if (i === 0) throw new Error("boom");
          return true;
        });
        addTimer(1, true, () => {
          console.log("timer", i);
          if (i === 0) throw new Error("bang");
          return true;
        });
        await send(here, "x");
      }
      await sleepAsync(20);
      process.exit();`);
    const lines = stdout.split("\n").filter((line, at, all) => all.indexOf(line) === at);
    const expected = ["read 0", "read 1", "read 2", "timer 0", "timer 1", "timer 2", "uncaught bang", "uncaught boom"];
    expect(lines.sort()).toEqual(expected);
    expect(exitCode).toBe(0);
  });

  test("a handler of uncaughtException may use a blocking call", () => {
    const { stdout, exitCode } = run(`
      process.on("uncaughtException", () => {
        waitFor(sleepAsync(1));
        console.log("waited");
        addTimer(1, true, () => { console.log("goes on"); return true; });
      });
      callSoon(() => { throw new Error("boom"); });`);
    expect({ stdout, exitCode }).toEqual({ stdout: "waited\ngoes on", exitCode: 0 });
  });

  describe.skipIf(isWindows)("without a descriptor for the bell (skipped on Windows, which sets no limit)", () => {
    /** What a program prints that has used all its descriptors up, in `files`. */
    function runWithoutDescriptors(body: string): Outcome {
      const script = programOf(`
        import { closeSync, openSync } from "node:fs";
        const files = [];
        getGlobalDispatcher();
        try { for (;;) files.push(openSync("/dev/null")); } catch {}
        ${body}`);
      return runLimited(100, script, { ASYNCDISPATCH_SELECTOR: selector });
    }

    test("that is a warning, and the loop goes on when there is one", () => {
      const outcome = runWithoutDescriptors(`
        process.on("warning", ({ name, message }) => {
          console.log(name, message.endsWith("EMFILE"));
          for (const file of files.splice(0)) closeSync(file);
        });
        addTimer(500, true, () => { console.log("fires"); return true; });`);
      expect(outcome).toMatchObject({ stdout: "AsyncDispatchWarning true\nfires", exitCode: 0 });
    });

    test("that is told once, however often it is tried again, and timers fire all the same", () => {
      const outcome = runWithoutDescriptors(`
        process.on("warning", ({ name }) => console.log(name));
        for (let round = 0; round < 20; round++) {
          sleepAsync(100_000);
          await sleepAsync(5);
        }
        console.log("slept");
        process.exit();`);
      expect(outcome).toMatchObject({ stdout: "AsyncDispatchWarning\nslept", exitCode: 0 });
    });

    test("a closed dispatcher keeps the process no longer", () => {
      const outcome = runWithoutDescriptors(`
        process.on("warning", () => {
          getGlobalDispatcher().close();
          setTimeout(() => console.log("kept for another try"), 50).unref();
        });
        sleepAsync(60_000);`);
      expect(outcome).toMatchObject({ stdout: "", exitCode: 0 });
    });
  });

  test("what is no Error can be thrown", () => {
    const { stdout, exitCode } = run(`
      process.on("uncaughtException", (seen) => console.log(seen));
      for (const value of [7, "text", null, undefined]) callSoon(() => { throw value; });`);
    expect({ stdout, exitCode }).toEqual({ stdout: "7\ntext\nnull\nundefined", exitCode: 0 });
  });

  test("an exception out of a blocking call in a hosted callback is the callback's", () => {
    const { stdout, exitCode } = run(`
      process.on("uncaughtException", ({ message }) => console.log("uncaught", message));
      addTimer(1, true, () => {
        callSoon(() => { throw new Error("boom"); });
        try {
          waitFor(sleepAsync(5));
        } catch ({ message }) {
          console.log("caught", message);
        }
        throw new Error("own");
      });`);
    expect({ stdout, exitCode }).toEqual({ stdout: "caught boom\nuncaught own", exitCode: 0 });
  });

  describe("a rejection that nobody handles, of a native async function, is as in plain Bun", () => {
    const ours = `(async () => { await sleepAsync(1); throw new Error("boom"); })();`;
    const plain = `(async () => { await new Promise((resolve) => setTimeout(resolve, 1)); throw new Error("boom"); })();`;

    test("without a handler", () => {
      const [hosted, bare] = [ours, plain].map((body) => run(`process.on("exit", () => console.log("exit")); ${body}`));
      expect(hosted).toMatchObject({ stdout: "exit", exitCode: 1 });
      expect(bare).toMatchObject({ stdout: "exit", exitCode: 1 });
      expect(hosted?.stderr).toContain("error: boom");
    });

    test("with a handler", () => {
      for (const body of [ours, plain]) {
        const outcome = run(`
          let seen = false;
          process.on("unhandledRejection", (reason, promise) => {
            console.log(reason.message, promise instanceof Promise);
            seen = true;
          });
          addTimer(5, false, () => {
            if (seen) console.log("goes on");
            return seen;
          });
          ${body}`);
        expect(outcome).toEqual({ stdout: "boom true\ngoes on", stderr: "", exitCode: 0 });
      }
    });

    test("but a handler that comes in time", () => {
      const outcome = run(`
        const failing = newFuture();
        const handled = (async () => { await failing; })();
        setTimeout(() => failing.fail(new Error("boom")), 1);
        await handled.catch(({ message }) => console.log("caught", message));`);
      expect(outcome).toEqual({ stdout: "caught boom", stderr: "", exitCode: 0 });
    });
  });
});
