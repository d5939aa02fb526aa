import { Future, requireFuture } from "./asyncfutures.ts";
import { type CancelledError, typeName } from "./errors.ts";

/** A future of several others; cancelled, it only stops looking at them. */
export class CombinedFuture<T> extends Future<T> {
  /** Takes the callbacks back that it has in the others. */
  detach: () => void = () => {};

  protected override tryCancel(error: CancelledError): boolean {
    this.detach();
    this.fail(error);
    return true;
  }
}

/**
 * Completes when both have completed; fails at once when one fails, with its error. Nim: `and`.
 */
export function and(a: Future<unknown>, b: Future<unknown>): Future<void> {
  const isDone = (): boolean => a.finished && b.finished;
  return combine("and", a, b, () => a.error ?? b.error ?? (isDone() ? null : undefined));
}

/**
 * Finishes as the first of the two does; the other goes on and its outcome is dropped. When both are finished
 * already, `a` decides. Nim: `or`.
 */
export function or(a: Future<unknown>, b: Future<unknown>): Future<void> {
  return combine("or", a, b, (first) => first.error);
}

/** @param outcome is asked when one of the two has called back: an error, null to complete, undefined to go on waiting */
function combine(
  name: string,
  a: Future<unknown>,
  b: Future<unknown>,
  outcome: (first: Future<unknown>) => Error | null | undefined,
): Future<void> {
  requireFuture(a);
  requireFuture(b);
  const combined = new CombinedFuture<void>(name);
  const decide = (first: Future<unknown>): void => {
    const error = combined.finished ? undefined : outcome(first);
    if (error === undefined) return;
    // The other may stay pending for long: nothing of this must stay with it.
    combined.detach();
    if (error === null) combined.complete();
    else combined.fail(error);
  };
  a.addCallback(decide);
  b.addCallback(decide);
  combined.detach = () => {
    a.removeCallback(decide);
    b.removeCallback(decide);
  };
  return combined;
}

/**
 * Completes with every value, in the order of the arguments; fails at once with the first failure. Finished at
 * return when there are no futures. Nim: `all`.
 */
export function all<T>(futures: Iterable<Future<T>>): Future<T[]> {
  if (typeof futures?.[Symbol.iterator] !== "function") {
    throw new TypeError(`Expected futures, got ${typeName(futures)}`);
  }
  return gather(Array.from(futures, requireFuture) as Future<T>[]);
}

function gather<T>(members: Future<T>[]): Future<T[]> {
  const gathered = new CombinedFuture<T[]>("all");
  const complete = (): void => gathered.complete(members.map((member) => member.read()));
  let missing = members.length;
  const count = (member: Future<T>): void => {
    if (gathered.finished) return;
    missing -= 1;
    if (member.error !== null) {
      gathered.detach();
      gathered.fail(member.error);
    } else if (missing === 0) {
      complete();
    }
  };
  gathered.detach = () => {
    for (const member of members) member.removeCallback(count);
  };
  if (missing === 0) complete();
  for (const member of members) member.addCallback(count);
  return gathered;
}
