import { expect, expectTypeOf, test } from "bun:test";
import { async, Future, sleepAsync, waitFor } from "../src/index.ts";
import { onEachBackend, thrownBy } from "./backends.ts";

onEachBackend(() => {
  test("async of a native async function gives a Future", () => {
    const proc = async(async (a: number) => {
      await sleepAsync(0);
      return a + 1;
    });
    const future = proc(41);
    expect(future).toBeInstanceOf(Future);
    expect(waitFor(future)).toBe(42);
  });

  test("async of a native async function fails with its very error, which has an asyncStack", () => {
    const error: Error & { asyncStack?: string } = new Error("reason");
    const proc = async(async function native() {
      await sleepAsync(0);
      throw error;
    });
    expect(thrownBy(() => waitFor(proc()))).toBe(error);
    expect(error.asyncStack).toBe("    at async native");
  });

  test("native async functions and generators await each other", () => {
    const inner = async(function* () {
      yield* sleepAsync(0);
      return "inner";
    });
    const native = async(async () => `native ${await inner()}`);
    const outer = async(function* () {
      return `outer ${yield* native()}`;
    });
    expect(waitFor(outer())).toBe("outer native inner");
  });

  test("a native async function makes progress inside waitFor of something else", () => {
    const log: number[] = [];
    const native = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        await sleepAsync(0);
        log.push(i);
      }
    };
    native();
    waitFor(sleepAsync(30));
    expect(log).toEqual([0, 1, 2]);
  });
});

test("types: a native async function keeps its arguments and its result", () => {
  const proc = async(async (a: string, b?: number) => `${a}${b}`);
  expectTypeOf(proc).toEqualTypeOf<(a: string, b?: number) => Future<string>>();
});
