//! The root of the test build: the suites, and the tests that stand next to what they test.

const builtin = @import("builtin");

comptime {
    _ = @import("test/behaviour.zig");
    _ = @import("test/bridge.zig");
    _ = @import("test/table.zig");
    _ = @import("test/socket.zig");
    _ = @import("test/resolver.zig");
    _ = @import("test/event.zig");
    if (builtin.os.tag == .windows) {
        _ = @import("test/process_windows.zig");
    } else {
        _ = @import("test/custody.zig");
        _ = @import("test/kqueue.zig");
        _ = @import("test/process.zig");
        _ = @import("test/signal.zig");
    }
}
