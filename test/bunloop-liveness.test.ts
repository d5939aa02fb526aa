import { describe, expect, test } from "bun:test";
import { backends, describeEach } from "./backends.ts";
import { runProgram } from "./bunloop-helper.ts";

/** What every program here begins with. What comes `later` does not keep the process alive by itself. */
const beginning = (laterMs: number) => `
  const laterMs = ${laterMs};
  const done = () => { console.log("done"); return true; };
  const later = (body) => setTimeout(body, laterMs).unref();`;

/** Short for what is waited for, long for what is not: starting may take its time. */
const [SOON_MS, LATE_MS] = [30, 3000];

/** Operations that end, with "done", after a while. */
const pending: Record<string, string> = {
  recv: `
    const [here, there] = await hostedPair();
    later(() => send(here, "x"));
    recv(there, 100).then(done);`,
  accept: `
    const { socket, port } = listener();
    later(() => dial("127.0.0.1", port));
    accept(socket).then(done);`,
  sleepAsync: `sleepAsync(laterMs).then(done);`,
  addRead: `
    const [here, there] = await hostedPair();
    later(() => send(here, "x"));
    addRead(there, done);`,
  addTimer: `addTimer(laterMs, true, done);`,
  addProcess: `
    const child = Bun.spawn(sleeping(laterMs));
    child.unref();
    addProcess(child.pid, done);`,
  addSignal: `
    addSignal("SIGUSR2", done);
    later(() => process.kill(process.pid, "SIGUSR2"));`,
  addEvent: `
    const event = newAsyncEvent();
    addEvent(event, done);
    later(() => event.trigger());`,
};

/** Something pending for a minute, and how it is given up. */
const givenUp: Record<string, [begin: string, giveUp: string]> = {
  "a recv that is cancelled": [
    `const [, there] = await hostedPair(); const received = recv(there, 1);`,
    `received.cancel()`,
  ],
  "a recv whose signal is aborted": [
    `const [, there] = await hostedPair();
    const controller = new AbortController();
    recv(there, 1, { signal: controller.signal }).catch(() => {});`,
    `controller.abort()`,
  ],
  "a recv whose socket is closed": [
    `const [, there] = await hostedPair();
    recv(there, 1).catch(() => {});`,
    `closeSocket(there)`,
  ],
  "a sleepAsync that is cancelled": [`const slept = sleepAsync(60_000);`, `slept.cancel()`],
  "a withTimeout that has not timed out": [
    `const future = newFuture();
    withTimeout(future, 60_000);`,
    `future.complete()`,
  ],
  "an addRead that is unregistered": [
    `const [, there] = await hostedPair();
    addRead(there, () => true);`,
    `unregister(there)`,
  ],
  "an addTimer that is unregistered": [`const timer = addTimer(60_000, false, () => true);`, `unregister(timer)`],
  "an addSignal that is unregistered": [`const watch = addSignal("SIGUSR2", () => true);`, `unregister(watch)`],
  "an addProcess that is unregistered": [`const watch = addProcess(process.pid, () => true);`, `unregister(watch)`],
  "an addEvent whose event is closed": [
    `const event = newAsyncEvent();
    addEvent(event, () => true);`,
    `event.close()`,
  ],
  "a dispatcher that is closed": [`addTimer(60_000, true, () => true);`, `getGlobalDispatcher().close()`],
  "a dispatcher that is detached": [`addTimer(60_000, true, () => true);`, `getGlobalDispatcher().detach()`],
  "a dispatcher that is unreferenced": [`addTimer(60_000, true, () => true);`, `getGlobalDispatcher().unref()`],
};

describe.each([...backends])("%s", (selector) => {
  function expectDone(body: string): void {
    expect(runProgram(selector, beginning(SOON_MS) + body)).toEqual({ stdout: "done", stderr: "", exitCode: 0 });
  }

  function expectUndone(body: string): void {
    expect(runProgram(selector, beginning(LATE_MS) + body)).toEqual({ stdout: "", stderr: "", exitCode: 0 });
  }

  describeEach("a pending", pending, (begin) => {
    test("keeps the process alive", () => expectDone(begin));

    test("does not after unref()", () => expectUndone(`${begin} getGlobalDispatcher().unref();`));

    test("does again after ref()", () => {
      expectDone(`${begin} getGlobalDispatcher().unref(); getGlobalDispatcher().ref();`);
    });
  });

  test("without a pending operation, ref() keeps nothing alive", () => {
    expectUndone(`
      const dispatcher = getGlobalDispatcher();
      await sleepAsync(1);
      dispatcher.unref();
      dispatcher.ref();`);
  });

  test("ref() counts for what has begun since unref()", () => {
    expectDone(`
      getGlobalDispatcher().unref();
      setTimeout(() => {
        sleepAsync(5).then(done);
        getGlobalDispatcher().ref();
      }, 5);`);
  });

  test("ref() once Bun's loop has gone on after unref()", () => {
    expectDone(`
      sleepAsync(40).then(done);
      getGlobalDispatcher().unref();
      setTimeout(() => getGlobalDispatcher().ref(), 5);`);
  });

  test("an unreferenced dispatcher is driven as long as something else keeps the process alive", () => {
    expectDone(`
      getGlobalDispatcher().unref();
      const alive = setInterval(() => {}, 1000);
      addTimer(5, true, () => {
        clearInterval(alive);
        return done();
      });`);
  });

  test("unref() before attach() counts", () => {
    expectUndone(`
      const own = newDispatcher();
      own.callSoon(() => addTimer(60_000, true, done));
      own.poll(0);
      own.unref();
      own.attach();`);
  });

  test("an unreferenced dispatcher lets the process go although it always has something to do", () => {
    expectUndone(`
      const [here, there] = await hostedPair();
      addWrite(here, () => false);
      setTimeout(() => getGlobalDispatcher().unref(), 5);`);
  });

  // Once more than the loop's own time, less than what was pending would have taken.
  const AT_ONCE_MS = 1000;
  const atOnce = (body: string) => `
    let last = 0;
    process.on("exit", () => console.log(performance.now() - last < ${AT_ONCE_MS}));
    ${body}`;

  test("the process ends at once when all has been done", () => {
    const outcome = runProgram(
      selector,
      atOnce(`
        const [here, there] = await hostedPair();
        const received = withTimeout(recv(there, 100), 60_000);
        await sleepAsync(5);
        await send(here, "x");
        await received;
        last = performance.now();`),
    );
    expect(outcome).toEqual({ stdout: "true", stderr: "", exitCode: 0 });
  });

  describeEach("nothing but", givenUp, ([begin, giveUp]) => {
    test("does not keep the process alive", () => {
      const outcome = runProgram(
        selector,
        atOnce(`
          ${begin}
          setTimeout(() => {
            ${giveUp};
            last = performance.now();
          }, 10);`),
      );
      expect(outcome).toMatchObject({ stdout: "true", exitCode: 0 });
    });
  });

  test("process.exit() in a hosted callback ends the process with its code", () => {
    const outcome = runProgram(
      selector,
      `const [here, there] = await hostedPair();
      addRead(there, () => process.exit(7));
      sleepAsync(60_000);
      send(here, "x");`,
    );
    expect(outcome).toEqual({ stdout: "", stderr: "", exitCode: 7 });
  });
});
