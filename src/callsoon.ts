import { typeName } from "./errors.ts";

/** Takes a callback that is to run in the next callback phase. Nim: the proc of `getCallSoonProc`. */
export type CallSoonProc = (callback: () => void) => void;

/** As {@link CallSoonProc}, with the argument beside the function, which spares a closure per callback. */
export type Enqueue = (callback: (argument: never) => void, argument: unknown) => void;

/** Where callbacks go as long as nobody says otherwise: to the dispatcher, without its module to the microtasks. */
let standardEnqueue: Enqueue = (callback, argument) => queueMicrotask(() => callback(argument as never));
const standardProc: CallSoonProc = (callback) => standardEnqueue(callback, undefined);

/** Queues a callback of a future; callbacks never run inline. */
export let enqueue: Enqueue = standardEnqueue;
let callSoonProc: CallSoonProc | null = null;

/** Sets where the callbacks of futures are queued. The dispatcher calls it once, when it is loaded. */
export function setEnqueue(hook: Enqueue): void {
  standardEnqueue = hook;
  if (callSoonProc === null || callSoonProc === standardProc) enqueue = hook;
}

/** Called when a dispatcher becomes the global one: from the first on, {@link getCallSoonProc} is not null. */
export function installCallSoonProc(): void {
  callSoonProc ??= standardProc;
}

/**
 * What queues the callbacks of this thread's futures; null until the thread has its first global dispatcher. Before
 * that they are queued all the same, where Nim runs them at once. Nim: `getCallSoonProc`.
 */
export function getCallSoonProc(): CallSoonProc | null {
  return callSoonProc;
}

/**
 * Has the callbacks of this thread's futures queued by `proc` from now on, whichever dispatcher is the global one.
 * Passing back what {@link getCallSoonProc} gave restores that. Nim: `setCallSoonProc`.
 *
 * @param proc gets functions without arguments, each to be called once, in this order and not from within `proc`
 * @throws TypeError when `proc` is not a function
 */
export function setCallSoonProc(proc: CallSoonProc): void {
  if (typeof proc !== "function") throw new TypeError(`Expected a function, got ${typeName(proc)}`);
  callSoonProc = proc;
  enqueue = proc === standardProc ? standardEnqueue : (callback, argument) => proc(() => callback(argument as never));
}
