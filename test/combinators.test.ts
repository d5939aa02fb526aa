import { expect, test } from "bun:test";
import {
  all,
  and,
  async,
  callSoon,
  drain,
  type Future,
  getGlobalDispatcher,
  hasPendingOperations,
  newFuture,
  or,
  poll,
  sleepAsync,
  ValueError,
  waitFor,
  withTimeout,
} from "../src/index.ts";
import { expectThrow, onEachBackend } from "./backends.ts";

type Pair = { a: Future<string>; b: Future<string> };

function newPair(): Pair {
  return { a: newFuture<string>("a"), b: newFuture<string>("b") };
}

/** Does what a list such as "b completes, a fails" says; each step is followed by `after`. */
function perform(steps: string, pair: Pair, after = (): void => {}): void {
  for (const step of steps.split(", ")) {
    const [name, verb] = step.split(" ") as ["a" | "b", "completes" | "fails"];
    if (verb === "completes") pair[name].complete(`value of ${name}`);
    else pair[name].fail(new Error(`${name} failed`));
    after();
  }
}

function outcomeOf(future: Future<unknown>): string {
  if (!future.finished) return "pending";
  return future.failed ? future.readError().message : "completed";
}

/** Runs the callbacks that are queued, and what they queue. */
function runQueued(): void {
  drain(0);
}

/** What happens, and what becomes of `and(a, b)`. */
const outcomesOfAnd = [
  ["a completes", "pending"],
  ["b completes", "pending"],
  ["a completes, b completes", "completed"],
  ["b completes, a completes", "completed"],
  ["a fails", "a failed"],
  ["b fails", "b failed"],
  ["a fails, b fails", "a failed"],
  ["b fails, a fails", "b failed"],
  ["a fails, b completes", "a failed"],
  ["b fails, a completes", "b failed"],
  ["a completes, b fails", "b failed"],
  ["b completes, a fails", "a failed"],
] as const;

/** What happens, and what becomes of `or(a, b)`. */
const outcomesOfOr = [
  ["a completes", "completed"],
  ["b completes", "completed"],
  ["a fails", "a failed"],
  ["b fails", "b failed"],
  ["a completes, b fails", "completed"],
  ["b completes, a fails", "completed"],
  ["a fails, b completes", "a failed"],
  ["b fails, a completes", "b failed"],
  ["a fails, b fails", "a failed"],
  ["b fails, a fails", "b failed"],
] as const;

onEachBackend(() => {
  test.each(outcomesOfAnd)("and: when %s, the result is: %s", (steps, outcome) => {
    const pair = newPair();
    const both = and(pair.a, pair.b);
    perform(steps, pair, runQueued);
    expect(outcomeOf(both)).toBe(outcome);
  });

  test.each([
    ["a completes, b completes", "completed"],
    ["a fails, b completes", "a failed"],
    ["a completes, b fails", "b failed"],
    ["b fails, a fails", "a failed"],
  ])("and: when %s beforehand, the result, through the queue, is: %s", (steps, outcome) => {
    const pair = newPair();
    perform(steps, pair);
    const both = and(pair.a, pair.b);
    expect(outcomeOf(both)).toBe("pending");
    runQueued();
    expect(outcomeOf(both)).toBe(outcome);
  });

  test("and of a future with itself completes when it does", () => {
    const { a } = newPair();
    const both = and(a, a);
    a.complete("value");
    runQueued();
    expect(outcomeOf(both)).toBe("completed");
  });

  test.each(outcomesOfOr)("or: when %s, the result is: %s", (steps, outcome) => {
    const pair = newPair();
    const either = or(pair.a, pair.b);
    perform(steps, pair, runQueued);
    expect(outcomeOf(either)).toBe(outcome);
  });

  test.each([
    ["b completes, a completes", "completed"],
    ["b completes, a fails", "a failed"],
    ["b fails, a completes", "completed"],
    ["b fails, a fails", "a failed"],
  ])("or: when %s beforehand, a decides, through the queue: %s", (steps, outcome) => {
    const pair = newPair();
    perform(steps, pair);
    const either = or(pair.a, pair.b);
    expect(outcomeOf(either)).toBe("pending");
    runQueued();
    expect(outcomeOf(either)).toBe(outcome);
  });

  test("or: b finished beforehand decides over a pending a", () => {
    const pair = newPair();
    perform("b fails", pair);
    const either = or(pair.a, pair.b);
    runQueued();
    expect(outcomeOf(either)).toBe("b failed");
  });

  test("or of a future with itself finishes as it does", () => {
    const { a } = newPair();
    const either = or(a, a);
    a.fail(new Error("a failed"));
    runQueued();
    expect(outcomeOf(either)).toBe("a failed");
  });

  test("or leaves no callback with the loser", () => {
    const forever = newFuture<string>();
    for (let i = 0; i < 10_000; i++) {
      const winner = newFuture();
      or(forever, winner);
      winner.complete();
    }
    runQueued();
    const before = getGlobalDispatcher().statistics().callbacks;
    forever.complete("at last");
    runQueued();
    expect(getGlobalDispatcher().statistics().callbacks).toBe(before);
  });

  test("and leaves no callback with a future that is pending when the other fails", () => {
    const forever = newFuture<string>();
    for (let i = 0; i < 1000; i++) {
      const failing = newFuture();
      and(forever, failing).addCallback(() => {});
      failing.fail(new Error("failed"));
    }
    runQueued();
    const before = getGlobalDispatcher().statistics().callbacks;
    forever.complete("at last");
    runQueued();
    expect(getGlobalDispatcher().statistics().callbacks).toBe(before);
  });

  test("all of nothing is finished at return", () => {
    expect(all([]).read()).toEqual([]);
  });

  test("all gives the values in the order of the arguments", () => {
    const { a, b } = newPair();
    const both = all([a, b]);
    b.complete("second");
    a.complete("first");
    runQueued();
    expect(both.read()).toEqual(["first", "second"]);
  });

  test("all fails with the first failure in the order of completion, at once", () => {
    const pair = newPair();
    const everything = all([pair.a, pair.b, newFuture<string>()]);
    perform("b fails, a fails", pair, runQueued);
    expect(outcomeOf(everything)).toBe("b failed");
  });

  test("all of finished futures finishes through the queue", () => {
    const pair = newPair();
    perform("a completes, b completes", pair);
    const both = all([pair.a, pair.b]);
    expect(outcomeOf(both)).toBe("pending");
    runQueued();
    expect(both.read()).toEqual(["value of a", "value of b"]);
  });

  test("all takes the same future several times", () => {
    const { a, b } = newPair();
    const three = all([a, b, a]);
    a.complete("a");
    b.complete("b");
    runQueued();
    expect(three.read()).toEqual(["a", "b", "a"]);
  });

  test("all takes any iterable", () => {
    const { a, b } = newPair();
    const both = all(new Set([a, b]));
    a.complete("a");
    b.complete("b");
    runQueued();
    expect(both.read()).toEqual(["a", "b"]);
  });

  test("withTimeout gives true when the future completes in time", () => {
    expect(waitFor(withTimeout(sleepAsync(1), 1000))).toBe(true);
  });

  test("withTimeout gives false when the time is over first", () => {
    expect(waitFor(withTimeout(newFuture(), 5))).toBe(false);
  });

  test("withTimeout fails as the future does in time", () => {
    const { a } = newPair();
    const inTime = withTimeout(a, 1000);
    a.fail(new Error("a failed"));
    runQueued();
    expect(outcomeOf(inTime)).toBe("a failed");
  });

  test("withTimeout of a completed future gives true, through the queue", () => {
    const { a } = newPair();
    a.complete("value");
    const inTime = withTimeout(a, 1000);
    expect(outcomeOf(inTime)).toBe("pending");
    poll();
    expect(inTime.read()).toBe(true);
  });

  test("withTimeout of a failed future fails, through the queue", () => {
    const { a } = newPair();
    a.fail(new Error("a failed"));
    const inTime = withTimeout(a, 1000);
    expect(outcomeOf(inTime)).toBe("pending");
    poll();
    expect(outcomeOf(inTime)).toBe("a failed");
  });

  test.each([0, -1])("withTimeout with %p ms gives false in the next poll", (ms) => {
    const inTime = withTimeout(newFuture(), ms);
    expect(outcomeOf(inTime)).toBe("pending");
    poll();
    expect(inTime.read()).toBe(false);
  });

  test.each([
    [NaN, ValueError, "Cannot wait for NaN ms"],
    [Infinity, ValueError, "Cannot wait for Infinity ms"],
    ["x", TypeError, "Expected milliseconds, got string"],
  ] as const)("withTimeout with %p ms raises an error and starts nothing", (ms, type, message) => {
    const future = newFuture();
    expectThrow(() => withTimeout(future, ms as number), type, message);
    expect(hasPendingOperations()).toBe(false);
  });

  test("R16, Q4: withTimeout leaves another awaiter in place when the future is in time", () => {
    const { a } = newPair();
    const awaiter = async(function* () {
      return yield* a;
    })();
    const inTime = withTimeout(a, 1000);
    callSoon(() => a.complete("value"));
    expect([waitFor(inTime), waitFor(awaiter)]).toEqual([true, "value"]);
  });

  test("R16, Q5: withTimeout leaves other awaiters, older and younger ones, in place when the time is over", () => {
    const { a } = newPair();
    const wait = async(function* () {
      return yield* a;
    });
    const older = wait();
    const inTime = withTimeout(a, 2);
    const younger = wait();
    expect(waitFor(inTime)).toBe(false);
    a.complete("value");
    expect([waitFor(older), waitFor(younger)]).toEqual(["value", "value"]);
  });

  test("R17, Q5: withTimeout leaves no timer when the future is in time", () => {
    const { a } = newPair();
    const inTime = withTimeout(a, 60_000);
    a.complete("value");
    poll();
    expect(inTime.read()).toBe(true);
    expect(hasPendingOperations()).toBe(false);
  });

  test("Q5: withTimeout leaves no callback with the future when the time is over", () => {
    const forever = newFuture<string>();
    for (let i = 0; i < 1000; i++) withTimeout(forever, 0);
    drain(1000);
    const before = getGlobalDispatcher().statistics().callbacks;
    forever.complete("at last");
    runQueued();
    expect(getGlobalDispatcher().statistics().callbacks).toBe(before);
  });

  test("withTimeout ends although `callback =` took its callback away", () => {
    const { a } = newPair();
    const inTime = withTimeout(a, 1);
    a.callback = () => {};
    a.complete("value");
    drain(50);
    expect(inTime.finished).toBe(true);
  });

  test("R18: a failure after the time is over is reported nowhere", () => {
    const { a } = newPair();
    const inTime = withTimeout(a, 1);
    expect(waitFor(inTime)).toBe(false);
    a.fail(new Error("late"));
    runQueued();
    expect(inTime.read()).toBe(false);
  });

  test("a future that finishes in the very poll in which the time is over is in time", () => {
    const { a } = newPair();
    const inTime = withTimeout(a, 0);
    callSoon(() => a.complete("value"));
    poll();
    expect(inTime.read()).toBe(true);
  });

  test.each(["and", "or", "all"])("Q4: %s leaves the futures' other callbacks in place", (name) => {
    const { a, b } = newPair();
    const log: string[] = [];
    a.addCallback(() => log.push("a, before"));
    b.addCallback(() => log.push("b, before"));
    if (name === "all") all([a, b]);
    else (name === "and" ? and : or)(a, b);
    a.addCallback(() => log.push("a, after"));
    a.complete("value");
    runQueued();
    b.complete("value");
    runQueued();
    expect(log).toEqual(["a, before", "a, after", "b, before"]);
  });

  test("and, or, all and withTimeout of what is no future raise a TypeError", () => {
    const { a } = newPair();
    const message = "Expected a Future, got number";
    expectThrow(() => and(a, 42 as never), TypeError, message);
    expectThrow(() => or(42 as never, a), TypeError, message);
    expectThrow(() => all([a, 42 as never]), TypeError, message);
    expectThrow(() => withTimeout(42 as never, 1), TypeError, message);
  });
});
