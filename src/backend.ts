import { ValueError } from "./errors.ts";

/** Replaced by `--define asyncBackend='"none"'`. */
declare const asyncBackend: unknown;

/** What asynchronous code of a library that follows the convention of {@link asyncBackend} runs on. */
export type AsyncBackend = "none" | "asyncdispatch" | "bun";

const KNOWN: readonly string[] = ["none", "asyncdispatch", "bun"] satisfies AsyncBackend[];

/** @throws ValueError that lists the known backends */
function requireBackend(name: unknown): AsyncBackend {
  if (!KNOWN.includes(name as string)) {
    throw new ValueError(`Unknown asyncBackend ${JSON.stringify(name)}, expected one of: ${KNOWN.join(", ")}`);
  }
  return name as AsyncBackend;
}

const chosen: AsyncBackend = requireBackend(
  typeof asyncBackend === "undefined" ? process.env.ASYNC_BACKEND || "asyncdispatch" : asyncBackend,
);

/**
 * The backend that libraries are to use: `--define asyncBackend='"bun"'`, else `ASYNC_BACKEND` in the environment,
 * else `"asyncdispatch"`. Any other name is a ValueError when this module is imported. Nim: `-d:asyncBackend`.
 */
export { chosen as asyncBackend };
