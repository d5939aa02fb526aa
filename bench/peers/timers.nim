# Nim: sleepAsync with a callback each. Usage: timers count
import std/[asyncdispatch, monotimes, os, strutils, times]

let count = if paramCount() > 0: parseInt(paramStr(1)) else: 1_000_000
var early = 0
var latenessMs = 0.0
var left = count
var seed = 1'u32

proc start(delayMs: float) =
  let due = getMonoTime() + initDuration(nanoseconds = int64(delayMs * 1e6))
  sleepAsync(delayMs).addCallback(
    proc() =
      let late = float((getMonoTime() - due).inNanoseconds) / 1e6
      if late < 0: inc early
      latenessMs += late
      dec left)

proc onTick() = dec left

for i in 0 ..< count:
  seed = seed * 1664525'u32 + 1013904223'u32
  let delayMs = float((seed shr 8) mod 1_000_001'u32) / 1000
  # Many timers are about CPU: no peer pays for a closure or a clock per timer then.
  if count <= 100_000: start(delayMs)
  else: sleepAsync(delayMs).addCallback(onTick)
while left > 0: poll()
echo "{\"early\":", early, ",\"meanLatenessMs\":", latenessMs / float(count), "}"
