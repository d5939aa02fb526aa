//! What the suites share: descriptors to wait for, and a selector that fails loudly.

const std = @import("std");
const linux = std.os.linux;
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const Selector = @import("../selector.zig").Selector;

pub const read = abi.Readiness.read;
pub const write = abi.Readiness.write;
pub const failed = abi.Readiness.failed;

pub fn expectCode(code: abi.Code, result: i32) !void {
    try std.testing.expectEqual(@intFromEnum(code), result);
}

pub fn expectErrno(errno: os.Errno, result: i32) !void {
    try std.testing.expectEqual(os.failure(errno), result);
}

/// A selector under test. Its methods fail the test where the selector fails.
pub const Subject = struct {
    selector: *Selector,
    /// Whether it registers descriptors as the library's own.
    is_own: bool = false,

    pub fn init(backend: abi.Backend) !Subject {
        var code: i32 = 0;
        const selector = Selector.create(backend, &code) orelse return error.NoSelector;
        try std.testing.expectEqual(0, code);
        return .{ .selector = selector };
    }

    pub fn deinit(self: Subject) void {
        self.selector.free();
    }

    pub fn register(self: Subject, descriptor: i32, interest: u32) !abi.Handle {
        var handle: abi.Handle = undefined;
        try std.testing.expectEqual(0, self.selector.register(descriptor, self.is_own, &handle));
        try self.setInterest(handle, interest);
        return handle;
    }

    pub fn setInterest(self: Subject, handle: abi.Handle, interest: u32) !void {
        try std.testing.expectEqual(0, self.selector.setInterest(handle, interest));
    }

    pub fn unregister(self: Subject, handle: abi.Handle) !void {
        try std.testing.expectEqual(0, self.selector.unregister(handle, false));
    }

    pub fn wait(self: Subject, timeout_ms: f64) ![]const abi.Event {
        const count = self.selector.wait(timeout_ms, abi.event_capacity);
        try std.testing.expect(count >= 0);
        return self.selector.events[0..@intCast(count)];
    }

    pub fn expectNothing(self: Subject) !void {
        try std.testing.expectEqual(0, (try self.wait(5)).len);
    }

    pub fn expectOnly(self: Subject, handle: abi.Handle, readiness: u32) !void {
        const events = try self.wait(1000);
        try std.testing.expectEqual(1, events.len);
        const expected: abi.Event = .{
            .index = handle.index,
            .generation = handle.generation,
            .readiness = readiness,
        };
        try std.testing.expectEqual(expected, events[0]);
    }
};

pub const Pipe = struct {
    reader: i32,
    writer: i32,

    pub fn init() !Pipe {
        var ends: [2]i32 = undefined;
        if (linux.errno(linux.pipe2(&ends, .{ .CLOEXEC = true, .NONBLOCK = true })) != .SUCCESS) return error.NoPipe;
        return .{ .reader = ends[0], .writer = ends[1] };
    }

    pub fn deinit(self: Pipe) void {
        _ = os.close(self.reader);
        _ = os.close(self.writer);
    }

    pub fn put(self: Pipe) !void {
        try std.testing.expectEqual(1, linux.write(self.writer, "x", 1));
    }

    pub fn take(self: Pipe) !void {
        var byte: [1]u8 = undefined;
        try std.testing.expectEqual(1, linux.read(self.reader, &byte, 1));
    }
};

/// Counts a signal instead of what the process did with it before.
pub fn SignalCount(comptime signal: std.posix.SIG) type {
    return struct {
        former: std.posix.Sigaction,

        var count: std.atomic.Value(u32) = .init(0);

        pub fn init() @This() {
            count.store(0, .monotonic);
            const action: std.posix.Sigaction = .{
                .handler = .{ .handler = onSignal },
                .mask = std.posix.sigemptyset(),
                .flags = 0,
            };
            var former: std.posix.Sigaction = undefined;
            std.posix.sigaction(signal, &action, &former);
            return .{ .former = former };
        }

        pub fn deinit(self: @This()) void {
            std.posix.sigaction(signal, &self.former, null);
        }

        pub fn get(_: @This()) u32 {
            return count.load(.monotonic);
        }

        fn onSignal(_: std.posix.SIG) callconv(.c) void {
            _ = count.fetchAdd(1, .monotonic);
        }
    };
}

pub fn openFile(path: [*:0]const u8) !i32 {
    const descriptor: i32 = @bitCast(@as(u32, @truncate(linux.openat(linux.AT.FDCWD, path, .{ .CLOEXEC = true }, 0))));
    return if (descriptor < 0) error.NoFile else descriptor;
}

/// A second number for the same file, at `lowest` or above.
pub fn duplicate(descriptor: i32, lowest: i32) !i32 {
    const copy: i32 = @bitCast(@as(u32, @truncate(linux.fcntl(descriptor, linux.F.DUPFD_CLOEXEC, @intCast(lowest)))));
    return if (copy < 0) error.NoDescriptor else copy;
}

pub fn elapsedMilliseconds(start_ns: u64) f64 {
    return @as(f64, @floatFromInt(os.monotonicNanoseconds() - start_ns)) / std.time.ns_per_ms;
}
