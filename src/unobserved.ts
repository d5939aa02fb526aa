import { CancelledError } from "./errors.ts";
import { creationStackOf } from "./futurelogging.ts";

/** What the report says. It is kept beside the future, so nothing in it may lead back to the future. */
interface Failure {
  readonly fromProc: string;
  readonly name: string;
  readonly message: string;
  readonly creationStack: string | undefined;
}

const unobserved = new FinalizationRegistry(report);

/**
 * Has the failure of a future reported when the future is collected. Bun collects, and calls back, only while
 * the thread is not blocked in a poll; nothing is reported of futures that are alive when the process ends.
 *
 * @returns false for an operation that the program itself gave up: that is no failure to report
 */
export function reportWhenCollected(future: { readonly fromProc: string }, error: Error): boolean {
  if (error instanceof CancelledError || (error as { code?: unknown }).code === "ECANCELED") return false;
  const { name, message } = error;
  const failure = { fromProc: future.fromProc, name, message, creationStack: creationStackOf(future) };
  unobserved.register(future, failure, future);
  return true;
}

/** Somebody has looked at the future: nothing is reported. */
export function forgetFailure(future: object): void {
  unobserved.unregister(future);
}

function report({ fromProc, name, message, creationStack }: Failure): void {
  const warning = `A future of ${fromProc} failed and nobody looked at it: ${name}: ${message}`;
  const detail = creationStack === undefined ? {} : { detail: `Created:\n${creationStack}` };
  process.emitWarning(warning, { type: "UnobservedFutureWarning", ...detail });
}
