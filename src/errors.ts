import { constants } from "node:os";

let namesByErrno: Map<number, string> | undefined;

/** Made for the first error. */
function errnoNames(): Map<number, string> {
  if (namesByErrno !== undefined) return namesByErrno;
  namesByErrno = new Map();
  if (process.platform === "win32") {
    // There the constants are only good for what is not in this table.
    for (const [number, [name]] of loadUtil().getSystemErrorMap()) namesByErrno.set(-number, name);
  }
  for (const [name, number] of Object.entries(constants.errno)) {
    // EWOULDBLOCK and EOPNOTSUPP are second names of numbers that have a better known one.
    if (!namesByErrno.has(number)) namesByErrno.set(number, name);
  }
  return namesByErrno;
}

/** Takes half as long as to load all of this library. */
function loadUtil() {
  return process.getBuiltinModule("node:util");
}

/** The symbolic name of a positive errno, such as `"ECONNREFUSED"`; `"errno N"` for one that the table lacks. */
function errnoName(errorCode: number): string {
  return errnoNames().get(errorCode) ?? `errno ${errorCode}`;
}

/** The text of `strerror` for a positive errno. */
function errnoText(errorCode: number): string {
  const text = errnoNames().has(errorCode) ? loadUtil().getSystemErrorMessage(-errorCode) : undefined;
  return text === undefined ? `Unknown error ${errorCode}` : text.charAt(0).toUpperCase() + text.slice(1);
}

function named(name: string, { prototype }: { prototype: Error }): void {
  Object.defineProperty(prototype, "name", { value: name, configurable: true, writable: true });
}

/** What an {@link OSError} knows beside its errno. */
export interface OSErrorDetails {
  readonly address?: string;
  readonly port?: number;
  /** The file's. */
  readonly path?: string | undefined;
  /** A second line of the message, as in Nim's `newOSError(code, additionalInfo)`. */
  readonly info?: string;
  /** Replaces the name looked up from the errno, where the error is not an errno (a resolver's). */
  readonly code?: string;
}

/**
 * A call of the operating system failed. The message has the style of Node's system errors
 * (`connect ECONNREFUSED 127.0.0.1:80`). Nim: `OSError`.
 */
export class OSError extends Error {
  /** The errno, negative, as Node and Bun give it. */
  readonly errno: number;
  /** The errno, positive, as Nim gives it. */
  readonly errorCode: number;
  /** The errno's name, such as `"ECONNREFUSED"`. */
  readonly code: string;
  /** The system call that failed, such as `"connect"`. */
  readonly syscall: string;
  readonly address?: string;
  readonly port?: number;
  /** The file that it is about, such as `"/etc/hosts"`. */
  readonly path?: string;

  /** @param errorCode the errno, positive */
  constructor(errorCode: number, syscall: string, details: OSErrorDetails = {}) {
    const code = details.code ?? errnoName(errorCode);
    const place = placeOf(details);
    super(`${syscall} ${code}${place}${details.info === undefined ? "" : `\nAdditional info: ${details.info}`}`);
    this.errno = -errorCode;
    this.errorCode = errorCode;
    this.code = code;
    this.syscall = syscall;
    if (details.address !== undefined) this.address = details.address;
    if (details.port !== undefined) this.port = details.port;
    if (details.path !== undefined) this.path = details.path;
  }
}

function placeOf({ address, port, path }: OSErrorDetails): string {
  if (address === undefined) return path === undefined ? "" : ` ${path}`;
  return port === undefined ? ` ${address}` : ` ${address}:${port}`;
}

/** An argument of the right type whose value cannot be used, or a call in the wrong state. Nim: `ValueError`. */
export class ValueError extends Error {}
/** A broken rule of the caller's program, such as registering a descriptor twice. Nim: `AssertionDefect`. */
export class AssertionDefect extends Error {}
/** An input or output failed before any system call could. Nim: `IOError`. */
export class IOError extends Error {}
/** The selector refused a descriptor. Nim: `IOSelectorsException`. */
export class IOSelectorsException extends Error {}

/** An operation or a procedure was cancelled; `cause` is the reason that was given. */
export class CancelledError extends Error {
  constructor(reason?: unknown) {
    super("Future operation cancelled!", reason === undefined ? undefined : { cause: reason });
  }
}

/** What kept the native library from being used; {@link NativeLibraryError.reason}. */
export type NativeLibraryReason = "missing" | "unloadable" | "wrong-version" | "ffi-disabled";

/** The native library cannot be used; the message says why and what to do. */
export class NativeLibraryError extends Error {
  readonly reason: NativeLibraryReason;
  constructor(reason: NativeLibraryReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

named("OSError", OSError);
named("ValueError", ValueError);
named("AssertionDefect", AssertionDefect);
named("IOError", IOError);
named("CancelledError", CancelledError);
named("IOSelectorsException", IOSelectorsException);
named("NativeLibraryError", NativeLibraryError);

/** The error of {@link IOSelectorsException}'s kind for a positive errno: `<strerror> (code: N)`. */
export function selectorError(errorCode: number): IOSelectorsException {
  return new IOSelectorsException(`${errnoText(errorCode)} (code: ${errorCode})`);
}

/** @throws TypeError when it is not an object */
export function requireOptions(options: unknown): void {
  if (options === null || typeof options !== "object") {
    throw new TypeError(`Expected an object of options, got ${typeName(options)}`);
  }
}

/** Describes a value of the wrong type in an error message, without running code of the value's own. */
export function typeName(value: unknown): string {
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  const { constructor: type } = value as { constructor?: unknown };
  return typeof type === "function" && type.name !== "" ? type.name : "object";
}
