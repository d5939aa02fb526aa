import { asError, Future, FutureBase, type Resumable, resumeSoon } from "./asyncfutures.ts";
import { noteExit, runNative, running } from "./asyncstack.ts";
import { AssertionDefect, type CancelledError, typeName } from "./errors.ts";
import { FutureVar } from "./futurevar.ts";

const GeneratorFunction = function* () {}.constructor as GeneratorFunctionConstructor;

/** A generator that yields the futures it waits for. */
// biome-ignore lint/suspicious/noExplicitAny: a body waits for futures of every type
type Body<T> = Generator<Future<any>, T, any>;

/**
 * Makes an asynchronous procedure: a function that returns a future at once and runs its body up to the first
 * unfinished future it waits for. Inside a generator, `yield* future` gives the value or raises the error,
 * `yield future` only waits; a finished future does not suspend. No promise and no microtask is involved. A
 * native `async function` works too, with `await future`. Nim: the `async` macro.
 *
 * Whatever the body throws fails the future; it is never thrown to the caller. The error then has a property
 * `asyncStack`: the procedures that it left, innermost first, a line each, on the way to whoever got it last.
 * Arguments that are pending {@link FutureVar}s are completed when the body ends.
 *
 * @throws TypeError when `proc` is not a function
 * @example
 * const echo = async(function* (client: AsyncFD) {
 *   for (;;) {
 *     const data = yield* recv(client, 4096);
 *     if (data.length === 0) return closeSocket(client);
 *     yield* send(client, data);
 *   }
 * });
 */
export function async<A extends unknown[], T>(proc: (...args: A) => Body<T>): (...args: A) => Future<T>;
export function async<A extends unknown[], T>(proc: (...args: A) => Promise<T>): (...args: A) => Future<T>;
export function async<A extends unknown[], T>(proc: (...args: A) => Body<T> | Promise<T>): (...args: A) => Future<T> {
  if (typeof proc !== "function") throw new TypeError(`Expected a function, got ${typeName(proc)}`);
  const name = proc.name || "anonymous";
  // The body of a generator only runs when it is driven, and it has no awaits of its own.
  const start = (proc as unknown) instanceof GeneratorFunction ? startGenerator : startNative;

  function startGenerator(this: unknown, ...args: A): Future<T> {
    let body: Body<T>;
    try {
      body = proc.apply(this, args) as Body<T>;
    } catch (error) {
      completeAll(args.filter(isFutureVar));
      return failFrom(undefined, new Future<T>(name), error);
    }
    // Indexed, so that the engine needs no array for the arguments.
    for (let i = 0; i < args.length; i++) {
      if (args[i] instanceof FutureVar) {
        body = ending(body, args.filter(isFutureVar));
        break;
      }
    }
    const coroutine = new Coroutine(body, name);
    coroutine.resume();
    return coroutine;
  }

  function startNative(this: unknown, ...args: A): Future<T> {
    const procedure = {};
    let body: Body<T> | Promise<T>;
    try {
      body = runNative(procedure, () => proc.apply(this, args));
    } catch (error) {
      completeAll(args.filter(isFutureVar));
      return failFrom(procedure, new Future<T>(name), error);
    }
    const vars = args.filter(isFutureVar);
    if (!isGenerator(body)) return follow(procedure, body, name, vars);
    const coroutine = new Coroutine(vars.length === 0 ? body : ending(body, vars), name);
    coroutine.resume();
    return coroutine;
  }

  return Object.defineProperty(start, "name", { value: name });
}

/** A future is one as well; an asynchronous generator is not. */
function isGenerator<T>(body: Body<T> | Promise<T>): body is Body<T> {
  const candidate = body as Partial<Generator> | null | undefined;
  return typeof candidate?.throw === "function" && typeof candidate[Symbol.iterator] === "function";
}

function isFutureVar(value: unknown): value is FutureVar<unknown> {
  return value instanceof FutureVar;
}

/** A body after which the variables are complete. */
function* ending<T>(body: Body<T>, vars: FutureVar<unknown>[]): Body<T> {
  try {
    return yield* body;
  } finally {
    completeAll(vars);
  }
}

/** As {@link ending}. */
async function endingNative<T>(body: Promise<T>, vars: FutureVar<unknown>[]): Promise<T> {
  try {
    return await body;
  } finally {
    completeAll(vars);
  }
}

function completeAll(vars: FutureVar<unknown>[]): void {
  for (const variable of vars) if (!variable.finished) variable.complete();
}

/** The future of a native procedure's promise, settled after the variables are complete. */
function follow<T>(
  procedure: object | undefined,
  body: Promise<T>,
  name: string,
  vars: FutureVar<unknown>[],
): Future<T> {
  const future = new Future<T>(name);
  if (typeof body?.then !== "function") {
    completeAll(vars);
    return failFrom(
      procedure,
      future,
      new TypeError(`Async procedure (${name}) is neither a generator nor an async function`),
    );
  }
  const ended = vars.length === 0 ? body : endingNative(body, vars);
  ended.then(
    (value) => future.complete(value),
    // Nothing is returned: a failed future would be taken for a promise and reject once more.
    (reason) => void failFrom(procedure, future, reason),
  );
  return future;
}

/** What was cancelled for a procedure's sake, so that its end tells the body; and the error in case that does not. */
interface Messenger {
  readonly future: FutureBase;
  readonly error: CancelledError;
}

/** The future of one call of a generator procedure, which drives its body. */
class Coroutine<T> extends Future<T> implements Resumable {
  private readonly body: Body<T>;
  /** What the body waits for; undefined while it runs. */
  private awaited: FutureBase | undefined = undefined;
  /** Set while the body has not been told yet that it was cancelled, and for good when it ends before. */
  private cancellation: CancelledError | undefined = undefined;
  private messenger: Messenger | undefined = undefined;

  constructor(body: Body<T>, name: string) {
    super(name);
    this.body = body;
  }

  /** Runs the body until it waits for an unfinished future or ends. */
  resume(): void {
    const outer = running.procedure;
    running.procedure = this;
    let step: IteratorResult<Future<unknown>, T>;
    try {
      const interruption = this.takeInterruption();
      this.awaited = undefined;
      this.messenger = undefined;
      step = interruption === undefined ? this.body.next() : this.body.throw(interruption);
      while (!step.done) {
        const awaited: FutureBase = step.value;
        if (!(awaited instanceof FutureBase)) {
          step = this.body.throw(this.wrongYield(awaited));
          continue;
        }
        // Cancelled while it ran, or while a value was on its way to it, which it has got now.
        const untold = awaited.finished ? undefined : this.tellBy(awaited);
        if (untold !== undefined) {
          step = this.body.throw(untold);
        } else if (awaited.finished) {
          awaited.observe();
          step = this.body.next();
        } else {
          this.awaited = awaited;
          awaited.resumeWhenFinished(this);
          return;
        }
      }
    } catch (error) {
      failFrom(this, this, error);
      return;
    } finally {
      running.procedure = outer;
    }
    this.complete(step.value);
  }

  /**
   * Cancels what the innermost procedure waits for that this one waits for, directly or not; when that cannot be
   * cancelled, the body of that procedure is resumed with the error.
   */
  protected override tryCancel(error: CancelledError): boolean {
    const outer = new Set<FutureBase>();
    let procedure: Coroutine<unknown> = this;
    for (;;) {
      outer.add(procedure);
      const { awaited } = procedure;
      if (procedure.cancellation !== undefined || !(awaited instanceof Coroutine)) break;
      if (awaited.finished || outer.has(awaited)) break;
      procedure.messenger = { future: awaited, error };
      procedure = awaited;
    }
    procedure.interrupt(error, outer);
    return true;
  }

  private interrupt(error: CancelledError, outer: ReadonlySet<FutureBase>): void {
    const { awaited } = this;
    // The body has not been told yet of an earlier time.
    if (this.cancellation !== undefined || (awaited?.cancelled && awaited === this.messenger?.future)) return;
    if (awaited !== undefined && !awaited.finished) {
      // Procedures that wait for one another in a ring end by the error.
      if (!outer.has(awaited) && awaited.cancel(error.cause)) {
        this.messenger = { future: awaited, error };
        return;
      }
      awaited.forgetWaiter(this);
      resumeSoon(this);
    }
    this.cancellation = error;
  }

  /** The error to resume the body with, although what it waits for is not finished. */
  private takeInterruption(): CancelledError | undefined {
    const { awaited, messenger } = this;
    if (messenger !== undefined && messenger.future === awaited && Coroutine.hasEndedUntold(awaited)) {
      this.cancellation ??= messenger.error;
    }
    return awaited === undefined || awaited.finished ? undefined : this.takeCancellation();
  }

  /** Cancels what the body is about to wait for, if it has to be told; the error to tell it by when that is in vain. */
  private tellBy(awaited: FutureBase): CancelledError | undefined {
    const error = this.takeCancellation();
    if (error === undefined) return undefined;
    const isCancelled = awaited instanceof Coroutine ? awaited.tryCancel(error) : awaited.cancel(error.cause);
    // It may be waiting for this very procedure, and the cancellation have come back.
    if (!isCancelled || this.takeCancellation() !== undefined) return error;
    this.messenger = { future: awaited, error };
    return undefined;
  }

  private takeCancellation(): CancelledError | undefined {
    const { cancellation } = this;
    this.cancellation = undefined;
    return cancellation;
  }

  /** Whether a procedure that was cancelled ended without a wait at which it could have been told. */
  private static hasEndedUntold(future: FutureBase): boolean {
    return future instanceof Coroutine && future.finished && future.cancellation !== undefined;
  }

  private wrongYield(value: unknown): Error {
    const { fromProc } = this;
    return value === null || value === undefined
      ? new AssertionDefect(`Async procedure (${fromProc}) yielded \`nil\`, are you await'ing a \`nil\` Future?`)
      : new TypeError(`Async procedure (${fromProc}) yielded ${typeName(value)}, expected a Future`);
  }
}

/** Fails the future of a procedure and notes in the error that it left this procedure. */
function failFrom<F extends FutureBase>(procedure: object | undefined, future: F, reason: unknown): F {
  const error = asError(reason);
  future.fail(error);
  noteExit(procedure, future, error);
  return future;
}
