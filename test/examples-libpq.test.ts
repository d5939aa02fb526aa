import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { backends } from "./backends.ts";
import { runExample, startExample } from "./example-process.ts";
import { missing, type Postgres, startPostgres } from "./postgres.ts";

if (missing !== undefined) console.log(`The tests of examples/libpq.ts are skipped ${missing}`);

describe.skipIf(missing !== undefined)(`libpq.ts${missing === undefined ? "" : ` (skipped ${missing})`}`, () => {
  let postgres: Postgres;

  beforeAll(async () => {
    postgres = await startPostgres();
  }, 60_000);
  afterAll(() => postgres?.stop());

  describe.each([...backends])("%s", (selector) => {
    /** Starts the example, and gives what fetches a path of it. */
    async function startServer(info = postgres.info) {
      const { output } = startExample("libpq.ts", [info], { ASYNCDISPATCH_SELECTOR: selector });
      const [, url] = await output.until(/listening on (\S+)\n/);
      const get = async (path: string) => {
        const response = await fetch(new URL(path, url));
        return { status: response.status, text: await response.text() };
      };
      return { get, output };
    }

    /** Calls a function of the server with the connections whose last query is like this one; there must be one. */
    async function signalBackend(call: string, state: string, query: string): Promise<void> {
      const sql = `select ${call}(pid) from pg_stat_activity where state = '${state}' and query like '${query}'`;
      while (!postgres.psql(sql).includes("t")) await Bun.sleep(10); // the query is still on its way there
    }

    test("answers with the rows of a query", async () => {
      const { get } = await startServer();
      const { status, text } = await get("databases");
      expect(status).toBe(200);
      const databases = ["postgres", "template0", "template1"];
      const bytes = expect.stringMatching(/^\d+$/);
      expect(JSON.parse(text)).toEqual(databases.map((datname) => ({ datname, bytes })));
    });

    test("Bun.serve goes on while a query runs, and the queries behind it wait", async () => {
      const { get } = await startServer();
      const slow = get("sleep/60");
      const next = get("divide/7/2");
      let settled = false;
      Promise.race([slow, next]).then(() => (settled = true));
      while (!(await get("/")).text.includes("waiting: 2")); // it answers each time
      expect(settled).toBe(false);
      await signalBackend("pg_cancel_backend", "active", "select pg_sleep%");
      expect(await slow).toEqual({ status: 500, text: "ERROR:  canceling statement due to user request\n" });
      expect(await next).toEqual({ status: 200, text: '[{"quotient":"3"}]' });
      expect((await get("/")).text).toBe("queries waiting: 0\n");
    });

    test("an error of the server is the error of its query alone", async () => {
      const { get } = await startServer();
      const answers = await Promise.all(["divide/1/0", "divide/8/2"].map(get));
      expect(answers).toEqual([
        { status: 500, text: "ERROR:  division by zero\n" },
        { status: 200, text: '[{"quotient":"4"}]' },
      ]);
    });

    test("prints a notification that comes while no query runs", async () => {
      const { output } = await startServer();
      postgres.psql("notify example, 'hello from elsewhere'");
      await output.until(/example: hello from elsewhere\n/);
    });

    test("a query that runs fails when the server is gone", async () => {
      const mortal = await startPostgres();
      let slow: Promise<{ status: number; text: string }>;
      try {
        const { get } = await startServer(mortal.info);
        slow = get("sleep/60");
        const running = "select from pg_stat_activity where state = 'active' and query like 'select pg_sleep%'";
        while (mortal.psql(`select exists (${running})`) !== "t") await Bun.sleep(10);
      } finally {
        await mortal.stop();
      }
      const { status, text } = await slow;
      expect(status).toBe(500);
      expect(text).toContain("server closed the connection unexpectedly");
    });

    test("Bun.serve goes on when the connection breaks", async () => {
      const { get } = await startServer();
      await signalBackend("pg_terminate_backend", "idle", "listen example");
      expect((await get("databases")).status).toBe(500);
      expect(await get("databases")).toEqual({ status: 500, text: "no connection to the server\n" });
      expect(await get("/")).toEqual({ status: 200, text: "queries waiting: 0\n" });
    });

    test("says why it cannot connect, and ends with 1", async () => {
      const env = { PGURL: "host=/nowhere", ASYNCDISPATCH_SELECTOR: selector };
      const { text, exitCode } = await runExample("libpq.ts", [], env);
      expect(text).toStartWith('libpq: connection to server on socket "/nowhere/.s.PGSQL.');
      expect(exitCode).toBe(1);
    });
  });
});
