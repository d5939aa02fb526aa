// What a platform without it says. The tests of what it has are those of all platforms.
import { expect, test } from "bun:test";
import { openAsync } from "../../src/asyncfile.ts";
import { addSignal, createAsyncNativeSocket, Domain, dial, SOBool, setSockOpt } from "../../src/index.ts";
import { closeAfterTest, isWindows, onEachBackend, thrownBy } from "../backends.ts";
import { failureOf } from "../bounded.ts";

const unsupported = { name: "OSError", code: "ENOTSUP", message: expect.stringContaining("Not supported on win32") };

if (isWindows) {
  onEachBackend(() => {
    test("a UNIX socket is ENOTSUP", () => {
      expect(thrownBy(() => createAsyncNativeSocket(Domain.AF_UNIX))).toMatchObject(unsupported);
      expect(failureOf(dial("/tmp/socket", 0))).toMatchObject(unsupported);
    });
    test("a signal is ENOTSUP", () => {
      expect(thrownBy(() => addSignal("SIGINT", () => true))).toMatchObject(unsupported);
    });
    test("a file that is none of a disk is ENOTSUP", () => {
      expect(thrownBy(() => openAsync("NUL"))).toMatchObject(unsupported);
    });
    test("OptReusePort is ENOTSUP", () => {
      const socket = closeAfterTest(createAsyncNativeSocket());
      expect(thrownBy(() => setSockOpt(socket, SOBool.OptReusePort, true))).toMatchObject(unsupported);
    });
  });
}
