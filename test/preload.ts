import { setDefaultTimeout } from "bun:test";
import { buildNative } from "../scripts/build-native.ts";

setDefaultTimeout(20_000);

// A library named from outside is the one to test.
if (!process.env.ASYNCDISPATCH_LIBRARY) buildNative();
