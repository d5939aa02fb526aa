// The generator form, in the library's own loop.
import { runForever } from "../../src/index.ts";
import "./generator-server.ts";

runForever();
