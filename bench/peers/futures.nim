# Nim's futures and async procs. Prints {"futuresMs":N,"chainMs":N}.
import std/[asyncdispatch, monotimes, times]

const
  count = 1_000_000
  depth = 1000
  chains = 1000

var sum = 0

proc futures(): float =
  let start = getMonoTime()
  for i in 0 ..< count:
    let future = newFuture[int]()
    future.addCallback(proc(f: Future[int]) = sum += f.read())
    future.complete(1)
    if i mod 1000 == 999: poll(0)
  while sum mod count != 0: poll(0)
  float((getMonoTime() - start).inMicroseconds) / 1000

proc descend(depth: int): Future[int] {.async.} =
  if depth > 0: return 1 + await descend(depth - 1)
  let bottom = newFuture[void]()
  callSoon(proc() = bottom.complete())
  await bottom
  return 0

proc chain(): float =
  let start = getMonoTime()
  for i in 0 ..< chains:
    doAssert waitFor(descend(depth)) == depth
  float((getMonoTime() - start).inMicroseconds) / 1000

discard getGlobalDispatcher() # without one, callbacks would run at once
discard futures()
discard chain()
echo "{\"futuresMs\":", futures(), ",\"chainMs\":", chain(), "}"
