import type { AsyncLocalStorage } from "node:async_hooks";

/** The procedures that an error has left on its way along one chain of callers; this is the outermost of them. */
interface Trail {
  readonly name: string;
  readonly inner: Trail | undefined;
}

/** An error that a procedure has got from a future, and how it had come there. */
interface Raised {
  readonly error: Error;
  readonly trail: Trail | undefined;
}

/** How its error came to a failed future. One error may fail many futures, each with a trail of its own. */
const trailOfFuture = new WeakMap<object, Trail>();
/** How an error came to whoever looked at it last. */
const trailOfError = new WeakMap<Error, Trail>();
/** The last error of each procedure: what it throws afterwards may be that one, along that trail. */
const raisedIn = new WeakMap<object, Raised>();
/** The native procedure that a piece of code belongs to, also after an `await`; made for the first of them. */
let nativeProcedure: AsyncLocalStorage<object> | undefined;

/** The procedure that runs just now, as long as it does not wait. */
export const running: { procedure: object | undefined } = { procedure: undefined };

/** Runs the body of a native procedure; what it awaits is known to be awaited by `procedure`. */
export function runNative<R>(procedure: object, body: () => R): R {
  const outer = running.procedure;
  running.procedure = procedure;
  try {
    nativeProcedure ??= new (process.getBuiltinModule("node:async_hooks").AsyncLocalStorage)();
    return nativeProcedure.run(procedure, body);
  } finally {
    running.procedure = outer;
  }
}

/** The native procedure that calls, if one does: also one that `await` calls for. */
export function currentNative(): object | undefined {
  return nativeProcedure?.getStore();
}

/** The procedure that calls, if one does. */
export function currentProcedure(): object | undefined {
  return running.procedure ?? currentNative();
}

/** A future has failed; when the error came from another one, it came along that one's trail. */
export function noteFailure(future: object, error: Error): void {
  const procedure = currentProcedure();
  const trail = procedure === undefined ? trailOfError.get(error) : trailInto(procedure, error);
  if (trail === undefined) trailOfFuture.delete(future);
  else trailOfFuture.set(future, trail);
}

/** A procedure gets the error of a failed future, or somebody outside of procedures does. */
export function noteRaise(future: object, error: Error, procedure: object | undefined): void {
  const trail = trailOfFuture.get(future);
  follow(error, trail);
  if (procedure !== undefined) raisedIn.set(procedure, { error, trail });
}

/** An error has left a procedure and failed its future. */
export function noteExit(procedure: object | undefined, future: { readonly fromProc: string }, error: Error): void {
  setTrail(future, error, { name: future.fromProc, inner: trailInto(procedure, error) });
}

/** The error of a failed future goes where no procedure is; the trail says at least who made the future. */
export function noteOrigin(future: { readonly fromProc: string }, error: Error): void {
  setTrail(future, error, trailOfFuture.get(future) ?? { name: future.fromProc, inner: undefined });
}

function setTrail(future: object, error: Error, trail: Trail): void {
  trailOfFuture.set(future, trail);
  follow(error, trail);
  if (Object.isExtensible(error) && !Object.hasOwn(error, "asyncStack")) {
    Object.defineProperty(error, "asyncStack", asyncStack);
  }
}

/** What the procedure did not get from a future, it has thrown itself. */
function trailInto(procedure: object | undefined, error: Error): Trail | undefined {
  const raised = procedure === undefined ? undefined : raisedIn.get(procedure);
  return raised?.error === error ? raised.trail : undefined;
}

function follow(error: Error, trail: Trail | undefined): void {
  if (trail === undefined) trailOfError.delete(error);
  else trailOfError.set(error, trail);
}

/** The property of errors: written out when somebody asks, for an error may pass a thousand procedures. */
const asyncStack: PropertyDescriptor & ThisType<Error> = {
  configurable: true,
  get() {
    const lines: string[] = [];
    for (let trail = trailOfError.get(this); trail !== undefined; trail = trail.inner) {
      lines.push(`    at async ${trail.name}`);
    }
    return lines.reverse().join("\n");
  },
};
