// Runs the native suite on a model of kqueue, and compares what we declare of kqueue with the headers of the systems
// that have it. Needs neither of them.
import { runZig } from "./build-native.ts";

runZig("test-kqueue-model", "check-headers", "--summary", "all");
