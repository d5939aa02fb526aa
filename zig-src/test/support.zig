//! What the suites share: descriptors to wait for, and a selector that fails loudly.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const Selector = @import("../selector.zig").Selector;
const host = switch (builtin.os.tag) {
    .windows => @import("host_windows.zig"),
    else => @import("host_linux.zig"),
};

pub const Pipe = host.Pipe;
pub const SocketPair = host.SocketPair;
pub const BellHost = host.BellHost;
pub const becomesReadable = host.becomesReadable;
pub const SignalCount = host.SignalCount;
pub const duplicate = host.duplicate;
pub const openIdleAt = host.openIdleAt;
pub const descriptorMark = host.descriptorMark;
pub const isInheritable = host.isInheritable;
pub const openUnwaitable = host.openUnwaitable;
pub const closeUnwaitable = host.closeUnwaitable;
pub const unwaitable_errno = host.unwaitable_errno;
pub const shutdownWriting = host.shutdownWriting;

/// For what does not depend on the backend.
pub const any_backend: abi.Backend = host.any_backend;
pub const is_posix = builtin.os.tag != .windows;

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
        const selector = Selector.create() orelse return error.NoSelector;
        try std.testing.expectEqual(0, selector.open(backend));
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
        try std.testing.expect(self.selector.unregister(handle, false) >= 0);
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

/// Lowers the number of descriptors that this process may have.
pub const DescriptorLimit = struct {
    former: linux.rlimit,

    pub fn current() !DescriptorLimit {
        var former: linux.rlimit = undefined;
        if (linux.errno(linux.getrlimit(.NOFILE, &former)) != .SUCCESS) return error.NoLimit;
        return .{ .former = former };
    }

    pub fn set(self: DescriptorLimit, count: u32) !void {
        const limit: linux.rlimit = .{ .cur = count, .max = self.former.max };
        if (linux.errno(linux.setrlimit(.NOFILE, &limit)) != .SUCCESS) return error.NoLimit;
    }

    pub fn restore(self: DescriptorLimit) void {
        _ = linux.setrlimit(.NOFILE, &self.former);
    }
};

pub fn elapsedMilliseconds(start_ns: u64) f64 {
    return @as(f64, @floatFromInt(os.monotonicNanoseconds() - start_ns)) / std.time.ns_per_ms;
}
