// The module `asyncdispatch/asyncmacro`. In `../asyncmacro.ts`, `async` does without the loop that `multisync` needs.
export { async } from "../asyncmacro.ts";
export { awaited, type Multisync, multisync } from "../multisync.ts";
