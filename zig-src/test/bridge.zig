//! The door-bell, over every backend.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const Bridge = @import("../bridge.zig").Bridge;
const support = @import("support.zig");
const available_backends = @import("../selector.zig").available_backends;
const Pipe = support.Pipe;
const Subject = support.Subject;
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const ns_per_ms = std.time.ns_per_ms;

comptime {
    for (std.enums.values(abi.Backend)) |backend| {
        if (available_backends >> @intFromEnum(backend) & 1 != 0) _ = Suite(backend);
    }
}

/// A bridge of a selector and the end that the host would watch.
const Door = struct {
    subject: Subject,
    bridge: *Bridge,
    host_end: i32,

    fn init(backend: abi.Backend) !Door {
        const subject: Subject = try .init(backend);
        const bridge = Bridge.create() orelse return error.NoBridge;
        const host: support.BellHost = try .init();
        try expectEqual(0, bridge.open(subject.selector, host.port));
        return .{ .subject = subject, .bridge = bridge, .host_end = try host.take(bridge.bell.host_end) };
    }

    fn deinit(self: Door) void {
        _ = os.close(self.host_end);
        self.bridge.free();
        self.subject.deinit();
    }

    fn arm(self: Door, timeout_ns: ?u64) !void {
        try expectEqual(0, self.bridge.arm(self.subject.selector, timeout_ns));
    }

    /// How often the bell has rung, once it has rung at all or the time is up.
    fn rings(self: Door, timeout_ms: u32) !usize {
        if (!support.becomesReadable(self.host_end, timeout_ms)) return 0;
        var bytes: [16]u8 = undefined;
        const count = os.receive(self.host_end, &bytes, 0);
        try expect(count > 0);
        return @intCast(count);
    }

    fn expectOneRing(self: Door) !void {
        try expectEqual(1, try self.rings(1000));
        try self.expectSilence();
    }

    fn expectSilence(self: Door) !void {
        try expectEqual(0, try self.rings(10));
    }
};

fn Suite(comptime backend: abi.Backend) type {
    return struct {
        test "the bell rings once when a descriptor is ready, and again when it is armed again" {
            const door: Door = try .init(backend);
            defer door.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            _ = try door.subject.register(pipe.reader, support.read);
            try door.arm(null);
            try door.expectSilence();
            try pipe.put();
            try door.expectOneRing();
            for (0..3) |_| {
                try door.arm(null);
                try door.expectOneRing();
            }
            try pipe.take();
            // As a host does first; a port tells what was ready when it was asked.
            _ = try door.subject.wait(0);
            try door.arm(null);
            try door.expectSilence();
        }

        test "what the bell rang for is there for the selector to find" {
            const door: Door = try .init(backend);
            defer door.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            const handle = try door.subject.register(pipe.reader, support.read);
            for (0..20) |_| {
                try door.arm(null);
                try pipe.put();
                try door.expectOneRing();
                try door.subject.expectOnly(handle, support.read);
                try pipe.take();
                try door.subject.expectNothing();
            }
        }

        test "a selector that waits itself while the bell is armed misses nothing" {
            const door: Door = try .init(backend);
            defer door.deinit();
            var pipes: [8]Pipe = undefined;
            for (&pipes) |*pipe| {
                pipe.* = try .init();
                _ = try door.subject.register(pipe.reader, support.read);
            }
            defer for (pipes) |pipe| pipe.deinit();
            for (0..100) |_| {
                try door.arm(null);
                for (pipes) |pipe| try pipe.put();
                var found: usize = 0;
                while (found < pipes.len) {
                    const events = try door.subject.wait(1000);
                    try expect(events.len > 0);
                    for (events) |event| try pipes[event.index].take();
                    found += events.len;
                }
                try expectEqual(pipes.len, found);
            }
        }

        test "the bell rings for a descriptor that is ready to be written" {
            const door: Door = try .init(backend);
            defer door.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            _ = try door.subject.register(pipe.writer, support.write);
            try door.arm(null);
            try door.expectOneRing();
        }

        test "a bell that is not armed does not ring" {
            const door: Door = try .init(backend);
            defer door.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            _ = try door.subject.register(pipe.reader, support.read);
            try pipe.put();
            try door.expectSilence();
        }

        test "the bell rings once when the time is up, and not before" {
            const door: Door = try .init(backend);
            defer door.deinit();
            for ([_]u64{ 0, ns_per_ms / 2, 20 * ns_per_ms }) |timeout_ns| {
                const start_ns = os.monotonicNanoseconds();
                try door.arm(timeout_ns);
                try expectEqual(1, try door.rings(1000));
                try expect(os.monotonicNanoseconds() - start_ns >= timeout_ns);
                try door.expectSilence();
            }
        }

        test "armed for an earlier time, the bell rings then" {
            const door: Door = try .init(backend);
            defer door.deinit();
            try door.arm(60 * std.time.ns_per_s);
            try door.arm(ns_per_ms);
            try expectEqual(1, try door.rings(1000));
        }

        test "armed again, the bell rings for what was added" {
            const door: Door = try .init(backend);
            defer door.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            try door.arm(null);
            _ = try door.subject.register(pipe.writer, support.write);
            try door.arm(null);
            try expect(try door.rings(1000) > 0);
        }

        test "the bell rings when a watched descriptor was closed, so that the selector can tell" {
            // Others cannot tell: the system has forgotten the file with its last descriptor.
            if (backend != .select and backend != .iocp) return;
            const door: Door = try .init(backend);
            defer door.deinit();
            const pipe: Pipe = try .init();
            defer _ = os.close(pipe.writer);
            _ = try door.subject.register(pipe.reader, support.read);
            _ = os.close(pipe.reader);
            try door.arm(null);
            try door.expectOneRing();
        }

        test "a closed selector is told" {
            const door: Door = try .init(backend);
            defer door.deinit();
            try door.arm(null);
            door.subject.selector.close();
            try support.expectCode(.closed, door.bridge.arm(door.subject.selector, null));
            const other = Bridge.create() orelse return error.NoBridge;
            defer other.free();
            try support.expectCode(.closed, other.open(door.subject.selector, 0));
        }

        test "a closed bridge cannot be armed" {
            const door: Door = try .init(backend);
            defer door.deinit();
            door.bridge.close();
            try support.expectCode(.closed, door.bridge.arm(door.subject.selector, null));
        }

        test "closing ends the thread, armed or not, and may be repeated" {
            for (0..20) |i| {
                const door: Door = try .init(backend);
                defer door.deinit();
                if (i % 2 == 0) try door.arm(if (i % 4 == 0) null else 60 * std.time.ns_per_s);
                door.bridge.close();
                door.bridge.close();
            }
        }

        test "the selector may be freed before the bridge, which is armed and about to ring" {
            const start_ns = os.monotonicNanoseconds();
            for (0..20) |_| {
                const door: Door = try .init(backend);
                const pipe: Pipe = try .init();
                defer pipe.deinit();
                _ = try door.subject.register(pipe.reader, support.read);
                try door.arm(null);
                try pipe.put();
                door.subject.deinit();
                _ = os.close(door.host_end);
                door.bridge.free();
            }
            // Of what the thread has in its hand, a selector on Windows waits for the return.
            try expect(os.monotonicNanoseconds() - start_ns < 5 * std.time.ns_per_s);
        }

        test "a bridge that is freed before the host took its end closes that as well" {
            if (!support.is_posix) return error.SkipZigTest; // the host opens its end itself
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const bridge = Bridge.create() orelse return error.NoBridge;
            try expectEqual(0, bridge.open(subject.selector, 0));
            const host_end = bridge.bell.host_end;
            bridge.free();
            try support.expectErrno(.BADF, os.checkOpen(host_end));
        }

        test "a host that has gone does no harm" {
            const door: Door = try .init(backend);
            defer door.subject.deinit();
            defer door.bridge.free();
            _ = os.close(door.host_end);
            for (0..3) |_| try door.arm(0);
        }

        test "no descriptor is left of a bridge that could not be made" {
            if (!support.is_posix) return error.SkipZigTest; // Windows sets no limit to the handles of a process
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const limit: support.DescriptorLimit = try .current();
            defer limit.restore();
            const before = try support.duplicate(0, 0);
            _ = os.close(before);
            // One descriptor more each time, until there are enough.
            var spare: u32 = 0;
            while (spare < 16) : (spare += 1) {
                try limit.set(@as(u32, @intCast(before)) + spare);
                const bridge = Bridge.create() orelse return error.NoBridge;
                defer bridge.free();
                const code = bridge.open(subject.selector, 0);
                if (code == 0) break;
                try support.expectErrno(.MFILE, code);
            }
            try expect(spare > 0 and spare < 16);
            try limit.set(@as(u32, @intCast(before)) + 1);
            const after = try support.duplicate(0, 0);
            _ = os.close(after);
            try expectEqual(before, after);
        }
    };
}

test "the bell outlives that the selector puts another epoll set in the place of its own" {
    if (builtin.os.tag != .linux) return error.SkipZigTest; // epoll is Linux's
    const door: Door = try .init(.epoll);
    defer door.deinit();
    const stale: Pipe = try .init();
    defer _ = os.close(stale.writer);
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const handle = try door.subject.register(stale.reader, support.read);
    _ = try door.subject.register(pipe.reader, support.read);
    try door.arm(null);
    // The file stays open under another number, so that its events go on coming.
    const copy = try support.duplicate(stale.reader, 0);
    defer _ = os.close(copy);
    _ = os.close(stale.reader);
    _ = door.subject.selector.unregister(handle, false);
    try stale.put();
    try door.subject.expectNothing();
    _ = try door.rings(10);
    try door.arm(null);
    try door.expectSilence();
    try pipe.put();
    try door.expectOneRing();
}

/// The first end can write no more, and its peer has hung up.
fn hungUpAndFull() !support.SocketPair {
    const pair: support.SocketPair = try .init();
    errdefer pair.deinit();
    const block: [4096]u8 = @splat(0);
    while (os.send(pair.ends[0], &block, 0) > 0) {}
    try expectEqual(0, linux.shutdown(pair.ends[1], linux.SHUT.RDWR));
    return pair;
}

test "the bell does not ring for a hang-up of which select tells a writer nothing, and rings for others" {
    if (builtin.os.tag != .linux) return error.SkipZigTest; // elsewhere select tells it
    const door: Door = try .init(.select);
    defer door.deinit();
    const pair = try hungUpAndFull();
    defer pair.deinit();
    _ = try door.subject.register(pair.ends[0], support.write);
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const handle = try door.subject.register(pipe.reader, support.read);
    try door.arm(null);
    try door.expectSilence();
    try door.subject.expectNothing();
    try pipe.put();
    try door.expectOneRing();
    try door.subject.expectOnly(handle, support.read);
}

test "the bell rings for a writer that was hung up on once it can write all the same" {
    if (builtin.os.tag != .linux) return error.SkipZigTest; // elsewhere select tells it of the hang-up
    const door: Door = try .init(.select);
    defer door.deinit();
    const pair = try hungUpAndFull();
    defer pair.deinit();
    const handle = try door.subject.register(pair.ends[0], support.write);
    try door.arm(null);
    try door.expectSilence();
    var room: [4096]u8 = undefined;
    while (os.receive(pair.ends[1], &room, 0) > 0) {}
    try door.expectOneRing();
    try door.subject.expectOnly(handle, support.write);
}
