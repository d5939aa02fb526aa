/** The method by which an object says what `console.log` shows of it. */
export const inspect: unique symbol = Symbol.for("nodejs.util.inspect.custom");
