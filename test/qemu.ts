/** Whether the tests run under qemu, as `bun run test:arm64` says: slower, and in places not like the real thing. */
export const isQemu = process.env.ASYNCDISPATCH_TEST_EMULATOR === "qemu";
