export { Domain, type Port } from "./address.ts";
export { type AcceptOptions, accept, acceptAddr, connect, dial } from "./asyncdispatch/connections.ts";
export { type Datagram, recvFrom, recvFromInto, sendTo } from "./asyncdispatch/datagrams.ts";
export { AsyncEvent, type AsyncEventToken, addEvent, newAsyncEvent } from "./asyncdispatch/events.ts";
export {
  activeDescriptors,
  callSoon,
  drain,
  hasPendingOperations,
  maxDescriptors,
  poll,
  runForever,
  sleepAsync,
  waitFor,
  withTimeout,
} from "./asyncdispatch/loop.ts";
export { addProcess, type ProcessExit, waitProcess } from "./asyncdispatch/processes.ts";
export { addSignal } from "./asyncdispatch/signals.ts";
export {
  bindAddr,
  closeSocket,
  createAsyncNativeSocket,
  getLocalAddr,
  getPeerAddr,
  getSockOpt,
  type InheritableOption,
  listen,
  Protocol,
  SOBool,
  SOInt,
  SockType,
  setInheritable,
  setSockOpt,
} from "./asyncdispatch/sockets.ts";
export { addTimer } from "./asyncdispatch/timers.ts";
export { recv, recvInto, SocketFlag, send, type TransferOptions } from "./asyncdispatch/transfer.ts";
export { addRead, addWrite, contains, register, unregister } from "./asyncdispatch/watches.ts";
export {
  asyncCheck,
  type CallSoonProc,
  Future,
  FutureBase,
  FutureError,
  getCallSoonProc,
  newFuture,
  setCallSoonProc,
} from "./asyncfutures.ts";
export { async } from "./asyncmacro.ts";
export { FutureStream, type FutureStreamOptions, newFutureStream, readAll } from "./asyncstreams.ts";
export { type AsyncBackend, asyncBackend } from "./backend.ts";
export type { CancelOption } from "./cancellation.ts";
export { all, and, or } from "./combinators.ts";
export {
  CALLBACK_BUDGET,
  Dispatcher,
  type DispatcherStatistics,
  getGlobalDispatcher,
  getIoHandler,
  MAX_NESTED_POLLS,
  newDispatcher,
  type PDispatcher,
  SYNCHRONOUS_BUDGET,
  setGlobalDispatcher,
} from "./dispatcher.ts";
export {
  AssertionDefect,
  CancelledError,
  IOError,
  IOSelectorsException,
  NativeLibraryError,
  type NativeLibraryReason,
  OSError,
  ValueError,
} from "./errors.ts";
export { type FutureInfo, getFuturesInProgress, isFutureLoggingEnabled, setFutureLogging } from "./futurelogging.ts";
export { FutureVar, newFutureVar } from "./futurevar.ts";
export { awaited, type Multisync, multisync } from "./multisync.ts";
export type { AsyncFD, Selector, SelectorKind } from "./native/selector.ts";
export { SockAddr } from "./sockaddr.ts";
export type { Callback } from "./watch.ts";
