// The module `asyncdispatch/asyncfutures`: futures without a loop, whose callbacks are microtasks until there is one.
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
