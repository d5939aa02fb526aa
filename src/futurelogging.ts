import { typeName } from "./errors.ts";

/** Replaced by `--define futureLogging=true`. */
declare const futureLogging: boolean | undefined;

/** Where a future was created. Nim: `FutureInfo`. */
export interface FutureInfo {
  /** The frames outside this package, innermost first, a line each. */
  readonly stackTrace: string;
  readonly fromProc: string;
}

/** A place that creates futures, and how many of them are pending. */
interface Site {
  readonly info: FutureInfo;
  pending: number;
}

/**
 * Whether the futures that are created now are logged: with `--define futureLogging=true`, with `FUTURE_LOGGING=1`
 * in the environment, or since `setFutureLogging(true)`. Nim: `isFutureLoggingEnabled`.
 */
export let isFutureLoggingEnabled: boolean =
  typeof futureLogging === "undefined" ? process.env.FUTURE_LOGGING === "1" : futureLogging === true;

const sites = new Map<string, Site>();
let siteOf = new WeakMap<object, Site>();

/**
 * Starts or ends the logging of futures. The end forgets what was logged; futures of before a start are unknown.
 *
 * @throws TypeError when `enabled` is not a boolean
 */
export function setFutureLogging(enabled: boolean): void {
  if (typeof enabled !== "boolean") throw new TypeError(`Expected a boolean, got ${typeName(enabled)}`);
  isFutureLoggingEnabled = enabled;
  if (enabled) return;
  sites.clear();
  siteOf = new WeakMap();
}

/**
 * How many of the futures that were created while logging was on are pending, by where they were created: a copy.
 * What is nowhere pending is not listed. Nim: `getFuturesInProgress`.
 */
export function getFuturesInProgress(): Map<FutureInfo, number> {
  return new Map(Array.from(sites.values(), ({ info, pending }) => [info, pending]));
}

/** Counts a future that was created, or is pending again. */
export function logPending(future: { readonly fromProc: string }): void {
  const info = siteOf.get(future)?.info ?? { stackTrace: stackOutside(), fromProc: future.fromProc };
  // The site of one that is pending again may have been deleted, and another have taken its place.
  const site = sites.get(keyOf(info)) ?? { info, pending: 0 };
  siteOf.set(future, site);
  site.pending += 1;
  sites.set(keyOf(info), site);
}

/** Takes a future that finishes out of the count. */
export function logFinished(future: object): void {
  const site = siteOf.get(future);
  if (site === undefined) return;
  site.pending -= 1;
  if (site.pending === 0) sites.delete(keyOf(site.info));
}

/** Where a future was created; undefined when it was not logged. */
export function creationStackOf(future: object): string | undefined {
  return siteOf.get(future)?.info.stackTrace;
}

function keyOf({ stackTrace, fromProc }: FutureInfo): string {
  return `${fromProc}\n${stackTrace}`;
}

/** The stack of the caller, without the frames of this package that come first. */
function stackOutside(): string {
  const frames = (new Error().stack ?? "").split("\n").slice(1);
  const first = frames.findIndex((frame) => !isInside(frame));
  return frames.slice(Math.max(0, first)).join("\n");
}

/** With the separator of the platform. */
const ownFolder = import.meta.path.slice(0, -import.meta.file.length);

function isInside(frame: string): boolean {
  // Constructors that nobody wrote out have no place of their own.
  return frame.includes(ownFolder) || frame.includes("(unknown:");
}
