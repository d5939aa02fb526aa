import { findZig } from "../scripts/build-native.ts";

/** Whether there is a compiler for the tests: with the Bun of another CPU, there is none. */
export const hasCompiler = isThere();

function isThere(): boolean {
  try {
    findZig();
    return true;
  } catch {
    return false;
  }
}
