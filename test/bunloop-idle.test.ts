import { describe, expect, test } from "bun:test";
import { backends, describeEach, isWine } from "./backends.ts";
import { packageRoot, programOf } from "./bunloop-helper.ts";
import { isQemu } from "./qemu.ts";

/** Under Wine any thread takes 1 MiB, under qemu half of that. */
const THREAD_KIB = 100 + (isWine ? 1024 + 50 : isQemu ? 512 : 0);

const idling: Record<string, string> = {
  "a recv that waits": `recv((await hostedPair())[1], 100);`,
  "a timer that is not due": `sleepAsync(60_000);`,
  "a watched signal": `addSignal("SIGUSR2", () => true);`,
  "all of them, after some traffic,": `
    const [here, there] = await hostedPair();
    for (let i = 0; i < 100; i++) {
      await send(here, "x");
      await recv(there, 100);
    }
    recv(there, 100);
    sleepAsync(60_000);
    addSignal("SIGUSR2", () => true);`,
};

describe.each([...backends])("%s", (selector) => {
  /** What a program prints as JSON. */
  async function resultOf(body: string): Promise<unknown> {
    const child = Bun.spawn([process.execPath, "-e", programOf(body)], {
      cwd: packageRoot,
      env: { ...process.env, ASYNCDISPATCH_SELECTOR: selector },
      stdio: ["ignore", "pipe", "inherit"],
      timeout: 15_000,
    });
    return JSON.parse(await child.stdout.text());
  }

  describeEach("of a process with nothing but", idling, (begin) => {
    test.concurrent("a second costs not one poll and not one wake-up", async () => {
      const result = await resultOf(`
        ${begin}
        const now = () => {
          const { polls, wakeups } = getGlobalDispatcher().statistics();
          return [polls, wakeups, voluntarySwitches(waiterThreads()[0])];
        };
        let costs;
        // The waiter thread may take its time to go to sleep where much else runs.
        for (let i = 0; i < 3 && costs?.join() !== "0,0,0"; i++) {
          await new Promise((resolve) => setTimeout(resolve, 50));
          const before = now();
          await new Promise((resolve) => setTimeout(resolve, 1000));
          costs = now().map((count, which) => count - before[which]);
        }
        const [polls, wakeups, switches] = costs;
        console.log(JSON.stringify({ polls, wakeups, switches }));
        process.exit();`);
      expect(result).toEqual({ polls: 0, wakeups: 0, switches: 0 });
    });
  });

  test("there is no thread before the first operation waits, and then one per dispatcher until it is closed", async () => {
    const result = await resultOf(`
      const counts = {};
      const count = (when) => { counts[when] = waiterThreads().length; };
      const turn = () => new Promise((resolve) => setTimeout(resolve, 5));
      const own = newDispatcher();
      own.attach();
      await turn();
      count("attached");
      await new Promise((resolve) => callSoon(resolve));
      await new Promise((resolve) => own.callSoon(resolve));
      await turn();
      count("after callSoon");
      addTimer(60_000, true, () => true);
      await turn();
      count("waiting");
      for (let i = 0; i < 10; i++) addTimer(60_000, true, () => true);
      await sleepAsync(1);
      await turn();
      count("waiting for more");
      own.callSoon(() => addTimer(60_000, true, () => true));
      await turn();
      count("both waiting");
      own.close();
      count("one closed");
      getGlobalDispatcher().close();
      count("both closed");
      console.log(JSON.stringify(counts));`);
    expect(result).toEqual({
      attached: 0,
      "after callSoon": 0,
      waiting: 1,
      "waiting for more": 1,
      "both waiting": 2,
      "one closed": 1,
      "both closed": 0,
    });
  });

  test(`a waiter thread takes less than ${THREAD_KIB} KiB`, async () => {
    const result = (await resultOf(`
      const COUNT = 50;
      const used = () => {
        Bun.gc(true);
        return privateKiB();
      };
      const begin = (count) => {
        const dispatchers = Array.from({ length: count }, () => newDispatcher());
        for (const own of dispatchers) {
          own.callSoon(() => addTimer(60_000, true, () => true));
          own.poll(0);
        }
        return dispatchers;
      };
      const attach = async (dispatchers) => {
        for (const own of dispatchers) own.attach();
        await new Promise((resolve) => setTimeout(resolve, 20));
      };
      await attach(begin(5));
      const dispatchers = begin(COUNT);
      const [memory, threads] = [used(), waiterThreads().length];
      await attach(dispatchers);
      console.log(JSON.stringify({
        each: (used() - memory) / COUNT,
        threads: waiterThreads().length - threads,
      }));
      process.exit();`)) as { each: number; threads: number };
    expect(result.threads).toBe(50);
    expect(result.each).toBeLessThan(THREAD_KIB);
  });
});
