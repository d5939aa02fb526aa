// The module `asyncdispatch/asyncfutures`. In `../asyncfutures.ts`, futures do without the loop that timeouts need.
export { sleepAsync, withTimeout } from "../asyncdispatch/loop.ts";
export {
  asyncCheck,
  type CallSoonProc,
  Future,
  FutureBase,
  FutureError,
  getCallSoonProc,
  newFuture,
  setCallSoonProc,
} from "../asyncfutures.ts";
export { all, and, or } from "../combinators.ts";
export { type FutureInfo, getFuturesInProgress, isFutureLoggingEnabled, setFutureLogging } from "../futurelogging.ts";
export { FutureVar, newFutureVar } from "../futurevar.ts";
