import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { addRead, addWrite, contains, register, setGlobalDispatcher, unregister } from "../src/index.ts";
import { Readiness } from "../src/native/abi.ts";
import { newSimulatedDispatcher } from "../src/testing.ts";
import { append, CallbackWaiter, prepend, takeAll, type Waiter, type WaiterRing, withoutFirst } from "../src/watch.ts";

describe("WaiterRing", () => {
  const step = fc.constantFrom("append", "append", "prepend", "withoutFirst", "withoutFirst", "takeAll");

  test("behaves as an array under any sequence of append, prepend, withoutFirst and takeAll", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let ring: WaiterRing;
        const model: Waiter[] = [];
        for (const name of steps) {
          const waiter = new CallbackWaiter(() => true);
          if (name === "append") {
            ring = append(ring, waiter);
            model.push(waiter);
          } else if (name === "prepend") {
            ring = prepend(ring, waiter);
            model.unshift(waiter);
          } else if (name === "takeAll") {
            expect(takeAll(ring)).toEqual(model.splice(0));
            ring = undefined;
          } else if (ring !== undefined) {
            const first = ring.following;
            ring = withoutFirst(ring);
            expect(first).toBe(model.shift() as Waiter);
            expect(first?.following).toBeUndefined();
          }
          expect(ring?.following).toBe(model[0] as Waiter);
        }
        expect(takeAll(ring)).toEqual(model);
      }),
    );
  });
});

type Direction = "read" | "write";

/** What a callback does when it is called, the first time, the second time, …; after that it returns true. */
interface Action {
  result: true | false | "throw";
  add: boolean;
  unregister: boolean;
}

interface Plan {
  direction: Direction;
  actions: Action[];
}

interface Program {
  /** The callbacks that wait at first. */
  initial: Plan[];
  /** The callbacks that are added by others, in turn. */
  added: Plan[];
  /** What the descriptor is ready for, poll by poll. */
  rounds: number[];
}

const action: fc.Arbitrary<Action> = fc.record({
  result: fc.oneof(
    { weight: 3, arbitrary: fc.constant(true as const) },
    { weight: 3, arbitrary: fc.constant(false as const) },
    { weight: 1, arbitrary: fc.constant("throw" as const) },
  ),
  add: fc.boolean(),
  unregister: fc.nat(12).map((n) => n === 0),
});

const plan: fc.Arbitrary<Plan> = fc.record({
  direction: fc.constantFrom<Direction>("read", "write"),
  actions: fc.array(action, { maxLength: 4 }),
});

const program: fc.Arbitrary<Program> = fc.record({
  initial: fc.array(plan, { maxLength: 6 }),
  added: fc.array(plan, { maxLength: 6 }),
  rounds: fc.array(
    fc.constantFrom(Readiness.read, Readiness.write, Readiness.read | Readiness.write, Readiness.failed),
    {
      minLength: 1,
      maxLength: 8,
    },
  ),
});

/** What a run of a program shows. */
interface Trace {
  /** Per round, the callbacks that were called, by number. */
  calls: number[][];
  /** How many callbacks wait after each round. */
  waiting: number[];
  errors: number;
}

/** Runs a program with a simulated dispatcher. */
function run({ initial, added, rounds }: Program): Trace {
  using dispatcher = newSimulatedDispatcher();
  setGlobalDispatcher(dispatcher);
  const { simulation } = dispatcher;
  const fd = simulation.openDescriptor();
  const trace: Trace = { calls: [], waiting: [], errors: 0 };
  const rest = [...added];
  let lastNumber = 0;
  const add = ({ direction, actions }: Plan): void => {
    const number = ++lastNumber;
    const todo = [...actions];
    (direction === "read" ? addRead : addWrite)(fd, () => {
      trace.calls.at(-1)?.push(number);
      const next = todo.shift() ?? { result: true, add: false, unregister: false };
      if (next.add && contains(fd) && rest.length > 0) add(rest.shift() as Plan);
      if (next.unregister && contains(fd)) unregister(fd);
      if (next.result === "throw") throw new Error(`thrown by ${number}`);
      return next.result;
    });
  };
  const setReadiness = (readiness: number): void => {
    simulation.setReadable(fd, (readiness & Readiness.read) !== 0);
    simulation.setWritable(fd, (readiness & Readiness.write) !== 0);
    simulation.setFailed(fd, (readiness & Readiness.failed) !== 0);
  };
  const pollOnce = (): void => {
    try {
      dispatcher.callSoon(() => {});
      dispatcher.poll(0);
    } catch {
      trace.errors += 1;
    }
  };

  register(fd);
  for (const initialPlan of initial) add(initialPlan);
  for (const readiness of rounds) {
    setReadiness(readiness);
    trace.calls.push([]);
    pollOnce();
    const { waiters } = dispatcher.statistics();
    trace.waiting.push(waiters);
    expect(dispatcher.activeDescriptors()).toBe(waiters > 0 ? 1 : 0);
  }
  setReadiness(0);
  // One error leaves per poll; the others wait in the queue.
  while (dispatcher.hasQueuedCallbacks) pollOnce();
  return trace;
}

interface ModelCallback {
  number: number;
  todo: Action[];
}

/** What must happen: the rules of readiness callbacks, written down with arrays. */
function predict({ initial, added, rounds }: Program): Trace {
  const trace: Trace = { calls: [], waiting: [], errors: 0 };
  const lists: Record<Direction, ModelCallback[]> = { read: [], write: [] };
  /** What the selector reports: lowered when a report comes that nobody waits for. */
  const interest = { read: false, write: false };
  const rest = [...added];
  let registered = true;
  let lastNumber = 0;
  const add = ({ direction, actions }: Plan): void => {
    lists[direction].push({ number: ++lastNumber, todo: [...actions] });
    interest[direction] = true;
  };

  /** Calls one callback: whether it is kept, and whether those behind it are called in this round. */
  const call = (callback: ModelCallback): { keep: boolean; goOn: boolean } => {
    trace.calls.at(-1)?.push(callback.number);
    const next = callback.todo.shift() ?? { result: true, add: false, unregister: false };
    if (next.add && registered && rest.length > 0) add(rest.shift() as Plan);
    if (next.unregister) registered = false;
    if (next.result === "throw") trace.errors += 1;
    return { keep: next.result === false, goOn: next.result === true || !registered };
  };

  const serve = (direction: Direction): void => {
    const turn = lists[direction];
    lists[direction] = [];
    const kept: ModelCallback[] = [];
    let goOn = true;
    while (goOn && turn.length > 0) {
      const callback = turn.shift() as ModelCallback;
      const outcome = call(callback);
      if (outcome.keep) kept.push(callback);
      goOn = outcome.goOn;
    }
    // Kept ones keep their place, those that were not called follow, those that were added come last.
    lists[direction] = [...kept, ...turn, ...lists[direction]];
  };

  for (const initialPlan of initial) add(initialPlan);
  for (const readiness of rounds) {
    trace.calls.push([]);
    const failed = readiness === Readiness.failed && (interest.read || interest.write);
    const reported = {
      read: failed || ((readiness & Readiness.read) !== 0 && interest.read),
      write: failed || ((readiness & Readiness.write) !== 0 && interest.write),
    };
    for (const direction of ["read", "write"] as const) {
      if (reported[direction] && lists[direction].length === 0) interest[direction] = false;
    }
    if (reported.read) serve("read");
    if (reported.write) serve("write");
    if (!registered) {
      lists.read = [];
      lists.write = [];
      interest.read = interest.write = false;
    }
    trace.waiting.push(lists.read.length + lists.write.length);
  }
  return trace;
}

describe("readiness callbacks", () => {
  test("any lists of callbacks are called, kept and dropped as the rules say", () => {
    fc.assert(
      fc.property(program, (given) => {
        expect(run(given)).toEqual(predict(given));
      }),
      { numRuns: 2000 },
    );
  });
});
