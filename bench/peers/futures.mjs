// A runtime's promises and async functions. Prints {"futuresMs":N,"chainMs":N}.
const COUNT = 1_000_000;
const DEPTH = 1000;
const CHAINS = 1000;

let sum = 0;
function add(value) {
  sum += value;
}

async function futures() {
  const start = performance.now();
  for (let i = 0; i < COUNT; i++) {
    let complete;
    new Promise((resolve) => {
      complete = resolve;
    }).then(add);
    complete(1);
    if (i % 1000 === 999) await undefined;
  }
  while (sum % COUNT !== 0) await undefined;
  return performance.now() - start;
}

async function descend(depth) {
  if (depth > 0) return 1 + (await descend(depth - 1));
  await new Promise((resolve) => {
    queueMicrotask(resolve);
  });
  return 0;
}

async function chain() {
  const start = performance.now();
  for (let i = 0; i < CHAINS; i++) {
    if ((await descend(DEPTH)) !== DEPTH) throw new Error("a chain is too short");
  }
  return performance.now() - start;
}

await futures();
await chain();
console.log(JSON.stringify({ futuresMs: await futures(), chainMs: await chain() }));
