/** What the file of a library says of itself; the readers are next to this file. */
export interface Library {
  readonly cpu: "x64" | "arm64" | "unknown";
  /** The symbols that others find in it. */
  readonly exports: readonly string[];
  /** The libraries that the system loads with it. */
  readonly needed: readonly string[];
}

/** The text from `at` up to the next NUL. */
export function textAt(file: Buffer, at: number): string {
  return file.toString("latin1", at, file.indexOf(0, at));
}

/** A 64-bit number that is an offset, a size or the like. */
export function offsetAt(file: Buffer, at: number): number {
  return Number(file.readBigUInt64LE(at));
}
