import { describe, expect, test } from "bun:test";
import { all, async, drain, Future, newFuture, newFutureVar, sleepAsync, waitFor } from "../src/index.ts";
import { expectThrow, onEachBackend, thrownBy } from "./backends.ts";

/** A future that has failed with `error`. */
function failedWith(error: Error): Future<never> {
  const future = newFuture<never>("failed");
  future.fail(error);
  return future;
}

/** The procedures that an error left, as the one that waits for `future` sees it. */
function asyncStackOf(future: Future<unknown>): string[] {
  const error = thrownBy(() => waitFor(future)) as { asyncStack?: string };
  return (error.asyncStack ?? "nothing").split("\n").map((line) => line.replace(/^ {4}at async /, ""));
}

/** A procedure of this name that awaits what `start` gives; with `cleansUp`, it awaits once more before it fails. */
function awaiting(name: string, start: () => Future<unknown>, { cleansUp = false } = {}): () => Future<void> {
  const body = function* (): Generator<Future<unknown>, void> {
    try {
      yield* start();
    } finally {
      if (cleansUp) yield* sleepAsync(0);
    }
  };
  return async(Object.defineProperty(body, "name", { value: name }));
}

/** The same as a native procedure. */
function awaitingNatively(name: string, start: () => Future<unknown>, { cleansUp = false } = {}): () => Future<void> {
  const body = async (): Promise<void> => {
    try {
      await start();
    } finally {
      if (cleansUp) await sleepAsync(0);
    }
  };
  return async(Object.defineProperty(body, "name", { value: name }));
}

onEachBackend(() => {
  describe.each([
    ["generators", awaiting, awaiting],
    ["native procedures", awaitingNatively, awaitingNatively],
    ["native procedures that await generators", awaiting, awaitingNatively],
    ["generators that await native procedures", awaitingNatively, awaiting],
  ])("asyncStack of %s", (_, middle, outer) => {
    const failLater = async(function* failLater() {
      yield* sleepAsync(0);
      throw new Error("reason");
    });
    const failAtOnce = awaiting("failAtOnce", () => failedWith(new Error("reason")));

    test("it names the callers, innermost first", () => {
      const chain = outer("outer", middle("middle", failLater));
      expect(asyncStackOf(chain())).toEqual(["failLater", "middle", "outer"]);
    });

    test("it names the callers of what failed before it was awaited", () => {
      const chain = outer("outer", middle("middle", failAtOnce));
      expect(asyncStackOf(chain())).toEqual(["failAtOnce", "middle", "outer"]);
    });

    test.each([false, true])(
      "two chains that await one failing future do not mix, cleaning up first: %p",
      (cleansUp) => {
        const shared = failLater();
        const chains = ["a", "b"].map((name) =>
          outer(
            `outer ${name}`,
            middle(`middle ${name}`, () => shared, { cleansUp }),
            { cleansUp },
          )(),
        );
        for (const chain of chains) chain.addCallback(() => {});
        drain(1000);
        expect(chains.map(asyncStackOf)).toEqual([
          ["failLater", "middle a", "outer a"],
          ["failLater", "middle b", "outer b"],
        ]);
        expect(asyncStackOf(shared)).toEqual(["failLater"]);
      },
    );

    test.each([false, true])(
      "two chains that await one failed future do not mix, cleaning up first: %p",
      (cleansUp) => {
        const shared = failedWith(new Error("reason"));
        const chains = ["a", "b"].map((name) =>
          outer(
            `outer ${name}`,
            middle(`middle ${name}`, () => shared, { cleansUp }),
            { cleansUp },
          )(),
        );
        for (const chain of chains) chain.addCallback(() => {});
        drain(1000);
        expect(chains.map(asyncStackOf)).toEqual([
          ["middle a", "outer a"],
          ["middle b", "outer b"],
        ]);
        expect(asyncStackOf(shared)).toEqual([""]);
      },
    );

    test("it reaches through combinators and promises", () => {
      const combined = outer("outer", () => all([Future.from(middle("middle", failLater)())]));
      expect(asyncStackOf(combined())).toEqual(["failLater", "middle", "outer"]);
    });

    test("the message stays as it is", () => {
      expectThrow(() => waitFor(outer("outer", failLater)()), Error, "reason");
    });
  });

  test("asyncStack of an error that is thrown again and again only names where it came from last", () => {
    const error: Error & { asyncStack?: string } = new Error("the same each time");
    const thrower = async(function* thrower() {
      yield* sleepAsync(0);
      throw error;
    });
    expect(asyncStackOf(thrower())).toEqual(["thrower"]);
    expect(asyncStackOf(awaiting("caller", thrower)())).toEqual(["thrower", "caller"]);
    expect(asyncStackOf(thrower())).toEqual(["thrower"]);
  });

  test("asyncStack names a native procedure whose helper awaits", () => {
    const helper = async (): Promise<void> => {
      await failedWith(new Error("reason"));
    };
    const inner = awaitingNatively("inner", () => failedWith(new Error("reason")));
    const outer = async(async function outer() {
      await helper().catch(() => inner());
    });
    expect(asyncStackOf(outer())).toEqual(["inner", "outer"]);
  });

  test("asyncStack of a FutureVar's second failure has nothing of the first", () => {
    const variable = newFutureVar<void>();
    variable.fail(awaiting("first", () => failedWith(new Error("first")))().readError());
    variable.clean();
    variable.fail(new Error("second"));
    // biome-ignore lint/correctness/useYield: the error comes before any await
    const reader = async(function* reader(): Generator<Future<void>, void> {
      variable.read();
    });
    expect(asyncStackOf(reader())).toEqual(["reader"]);
  });

  test("asyncStack of what a body caught does not show in the errors that it throws later", () => {
    const careful = async(function* careful() {
      try {
        yield* awaiting("caught", () => failedWith(new Error("caught")))();
      } catch {
        throw new Error("another");
      }
    });
    expect(asyncStackOf(careful())).toEqual(["careful"]);
  });

  test("asyncStack is not enumerable, and each error has its own", () => {
    const errors = ["a", "b"].map((name) => {
      const future = awaiting(name, () => failedWith(new Error(name)))();
      return future.error as Error & { asyncStack?: string };
    });
    expect(errors.map((error) => [error.asyncStack, Object.keys(error)])).toEqual([
      ["    at async a", []],
      ["    at async b", []],
    ]);
  });
});
