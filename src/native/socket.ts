import { constants } from "node:os";
import { OSError, type OSErrorDetails, ValueError } from "../errors.ts";
import { Code, WindowsErrno } from "./abi.ts";
import { loadLibrary } from "./library.ts";

export const isWindows = process.platform === "win32";

type ErrnoName = keyof typeof WindowsErrno & keyof typeof constants.errno;

/** The platform's errno numbers, positive. */
export const errno: Readonly<Record<ErrnoName, number>> = isWindows ? WindowsErrno : constants.errno;

/**
 * The socket calls of the native library, one system call each. They give a count or a descriptor, or a negative
 * errno or `Code`; none blocks, but for `resolve_now` with a name that is not numeric.
 */
export const socket = loadLibrary();

/**
 * The typed error for a negative result of a call.
 *
 * @param syscall the name that the error shows
 */
export function callFailure(result: number, syscall: string, details?: OSErrorDetails): Error {
  switch (result) {
    case Code.outOfBounds:
      return new ValueError(`${syscall}: the memory was detached or shrank while the operation was waiting`);
    case Code.notSupported:
      return notSupported(syscall, details);
    default:
      return new OSError(-result, syscall, details);
  }
}

/** The error of what this platform does not have. */
export function notSupported(syscall: string, details?: OSErrorDetails): OSError {
  return new OSError(errno.ENOTSUP, syscall, { ...details, info: `Not supported on ${process.platform}` });
}

/** @throws OSError when `result` is negative */
export function succeeded(result: number, syscall: string, details?: OSErrorDetails): number {
  if (result < 0) throw callFailure(result, syscall, details);
  return result;
}
