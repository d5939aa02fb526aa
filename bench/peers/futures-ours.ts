// This library's futures. Prints {"futuresMs":N,"chainMs":N}.
import { async, callSoon, type Future, newFuture, poll, waitFor } from "../../src/index.ts";

const COUNT = 1_000_000;
const DEPTH = 1000;
const CHAINS = 1000;

let sum = 0;
function add(future: Future<number>): void {
  sum += future.read();
}

function futures(): number {
  const start = performance.now();
  for (let i = 0; i < COUNT; i++) {
    const future = newFuture<number>();
    future.addCallback(add);
    future.complete(1);
    // The queue stays short, as in a program.
    if (i % 1000 === 999) poll(0);
  }
  while (sum % COUNT !== 0) poll(0);
  return performance.now() - start;
}

const descend: (depth: number) => Future<number> = async(function* (depth: number) {
  if (depth > 0) return 1 + (yield* descend(depth - 1));
  const bottom = newFuture();
  callSoon(() => bottom.complete());
  yield* bottom;
  return 0;
});

function chain(): number {
  const start = performance.now();
  for (let i = 0; i < CHAINS; i++) {
    if (waitFor(descend(DEPTH)) !== DEPTH) throw new Error("a chain is too short");
  }
  return performance.now() - start;
}

futures();
chain();
console.log(JSON.stringify({ futuresMs: futures(), chainMs: chain() }));
