// The module `asyncdispatch/asyncfutures`. In `../asyncfutures.ts`, futures do without the loop that timeouts need.
export { sleepAsync, withTimeout } from "../asyncdispatch/loop.ts";
export {
  all,
  and,
  asyncCheck,
  type CallSoonProc,
  Future,
  FutureBase,
  FutureError,
  getCallSoonProc,
  newFuture,
  or,
  setCallSoonProc,
} from "../asyncfutures.ts";
export { type FutureInfo, getFuturesInProgress, isFutureLoggingEnabled, setFutureLogging } from "../futurelogging.ts";
export { FutureVar, newFutureVar } from "../futurevar.ts";
