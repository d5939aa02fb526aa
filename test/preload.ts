import { buildNative } from "../scripts/build-native.ts";

// A library named from outside is the one to test.
if (!process.env.ASYNCDISPATCH_LIBRARY) buildNative();
