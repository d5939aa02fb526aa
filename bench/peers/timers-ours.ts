// This library's timers. Usage: timers-ours.ts count addTimer|sleepAsync
import { addTimer, drain, sleepAsync } from "../../src/index.ts";

const count = Number(process.argv[2] ?? 1_000_000);
const kind = process.argv[3] ?? "addTimer";
let early = 0;
let latenessMs = 0;
let seed = 1;

let ticks = 0;
function onTick(): true {
  ticks += 1;
  return true;
}

function onTimer(due: number): true {
  const late = performance.now() - due;
  if (late < 0) early += 1;
  latenessMs += late;
  return true;
}

// Many timers are about CPU: no peer pays for a closure or a clock per timer then.
const measuresLateness = count <= 100_000;

for (let i = 0; i < count; i++) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  const delayMs = ((seed >>> 8) % 1_000_001) / 1000;
  const due = measuresLateness ? performance.now() + delayMs : 0;
  if (kind === "addTimer") addTimer(delayMs, true, measuresLateness ? () => onTimer(due) : onTick);
  else sleepAsync(delayMs).addCallback(measuresLateness ? () => onTimer(due) : onTick);
}
drain(60_000);
if (!measuresLateness && ticks !== count) throw new Error(`${ticks} of ${count} timers fired`);
console.log(JSON.stringify({ early, meanLatenessMs: latenessMs / count }));
