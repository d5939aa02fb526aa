//! What the tests need of Linux.

const std = @import("std");
const linux = std.os.linux;
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;

pub const any_backend: abi.Backend = .epoll;

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

    pub fn fill(self: Pipe) void {
        const block: [4096]u8 = @splat(0);
        while (linux.errno(linux.write(self.writer, &block, block.len)) == .SUCCESS) {}
    }
};

/// Two sockets that are connected with each other.
pub const SocketPair = struct {
    ends: [2]i32,

    pub fn init() !SocketPair {
        var pair: SocketPair = undefined;
        const failed = linux.socketpair(linux.AF.UNIX, linux.SOCK.STREAM | linux.SOCK.CLOEXEC, 0, &pair.ends);
        return if (failed == 0) pair else error.NoSocketPair;
    }

    pub fn deinit(self: SocketPair) void {
        for (self.ends) |end| _ = os.close(end);
    }
};

/// Whom a bell rings.
pub const BellHost = struct {
    port: u16 = 0,

    pub fn init() !BellHost {
        return .{};
    }

    /// The descriptor that is rung.
    pub fn take(_: BellHost, host_end: i32) !i32 {
        return host_end;
    }
};

pub fn becomesReadable(descriptor: i32, timeout_ms: u32) bool {
    var entries = [_]os.PollEntry{.{ .fd = descriptor, .events = os.POLL.IN, .revents = 0 }};
    return os.poll(&entries, @as(u64, timeout_ms) * std.time.ns_per_ms) == 1;
}

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

/// What nobody can wait for.
pub fn openUnwaitable(which: enum { file, folder }) !i32 {
    const path = if (which == .file) "/proc/self/exe" else "/";
    const descriptor: i32 = @bitCast(@as(u32, @truncate(linux.openat(linux.AT.FDCWD, path, .{ .CLOEXEC = true }, 0))));
    return if (descriptor < 0) error.NoFile else descriptor;
}

pub fn closeUnwaitable(descriptor: i32) void {
    _ = os.close(descriptor);
}

pub const unwaitable_errno: os.Errno = .PERM;

/// A second number for the same file, at `lowest` or above.
pub fn duplicate(descriptor: i32, lowest: i32) !i32 {
    const copy: i32 = @bitCast(@as(u32, @truncate(linux.fcntl(descriptor, linux.F.DUPFD_CLOEXEC, @intCast(lowest)))));
    return if (copy < 0) error.NoDescriptor else copy;
}

/// Opens something that is not readable under a number that is free.
pub fn openIdleAt(number: i32) !void {
    const event = os.eventCreate();
    if (event == number) return;
    defer _ = os.close(event);
    try std.testing.expectEqual(number, os.duplicateOver(event, number));
}

/// The same as long as nothing is opened or closed.
pub fn descriptorMark() !i32 {
    const lowest = try duplicate(0, 0);
    _ = os.close(lowest);
    return lowest;
}

pub fn isInheritable(descriptor: i32) bool {
    return linux.fcntl(descriptor, linux.F.GETFD, 0) & linux.FD_CLOEXEC == 0;
}

pub fn shutdownWriting(socket: i32) void {
    _ = linux.shutdown(socket, linux.SHUT.WR);
}
