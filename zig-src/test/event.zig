//! Events, from one thread and from many.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const event = @import("../watch/event.zig");
const support = @import("support.zig");
const Subject = support.Subject;
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const expectCode = support.expectCode;

fn create(handle: *abi.Handle) !*event.Reference {
    const reference = event.Reference.create() orelse return error.NoEvent;
    try expectEqual(0, reference.openNew(handle));
    return reference;
}

test "triggers that nobody has taken are one, and it is remembered" {
    var handle: abi.Handle = undefined;
    const reference = try create(&handle);
    defer reference.free();
    try expectEqual(0, event.take(handle));
    for (0..3) |_| try expectEqual(0, event.trigger(handle));

    const subject: Subject = try .init(support.any_backend);
    defer subject.deinit();
    try subject.expectOnly(try subject.register(event.descriptorOf(handle), support.read), support.read);
    try expectEqual(1, event.take(handle));
    try expectEqual(0, event.take(handle));
    try subject.expectNothing();
    try expectEqual(0, event.trigger(handle));
    try expectEqual(1, event.take(handle));
}

test "an event lives until its last reference goes" {
    var handle: abi.Handle = undefined;
    const first = try create(&handle);
    defer first.free();
    const second = event.Reference.create().?;
    defer second.free();
    try expectEqual(0, second.open(handle));
    const descriptor = event.descriptorOf(handle);

    first.release();
    first.release();
    try expectEqual(descriptor, event.descriptorOf(handle));
    try expectEqual(0, event.trigger(handle));
    second.release();
    const third = event.Reference.create().?;
    defer third.free();
    try expectCode(.stale_handle, third.open(handle));
    for ([_]i32{ event.descriptorOf(handle), event.trigger(handle), event.take(handle) }) |result| {
        try expectCode(.stale_handle, result);
    }
    try support.expectErrno(.BADF, os.checkOpen(descriptor));
}

test "handles that were never given out name nothing" {
    for ([_]u32{ 0, 63, 64, 1 << 20, std.math.maxInt(u32) }) |index| {
        try expectCode(.stale_handle, event.trigger(.{ .index = index, .generation = 0 }));
        try expectCode(.stale_handle, event.trigger(.{ .index = index, .generation = std.math.maxInt(u32) }));
    }
}

test "many events are told apart, and their places are used again" {
    var references: [300]*event.Reference = undefined;
    var handles: [300]abi.Handle = undefined;
    for (0..2) |_| {
        for (&references, &handles) |*reference, *handle| reference.* = try create(handle);
        for (handles, 0..) |handle, place| {
            try expect(handle.index < 1000);
            for (handles[0..place]) |other| try expect(handle.index != other.index);
            if (place % 3 == 0) try expectEqual(0, event.trigger(handle));
        }
        for (handles, 0..) |handle, place| try expectEqual(@intFromBool(place % 3 == 0), event.take(handle));
        const old = handles;
        for (references) |reference| reference.free();
        for (old) |handle| try expectCode(.stale_handle, event.take(handle));
    }
}

/// Counts before it triggers, so that whoever takes the last trigger sees the whole count.
const Producer = struct {
    handle: abi.Handle,
    count: *std.atomic.Value(u32),

    fn run(self: Producer, times: u32) void {
        for (0..times) |_| {
            _ = self.count.fetchAdd(1, .monotonic);
            std.debug.assert(event.trigger(self.handle) == 0);
        }
    }
};

test "of triggers from four threads, the last one is never lost" {
    const times = 20_000;
    const thread_count = 4;
    var handle: abi.Handle = undefined;
    const reference = try create(&handle);
    defer reference.free();
    const subject: Subject = try .init(support.any_backend);
    defer subject.deinit();
    _ = try subject.register(event.descriptorOf(handle), support.read);

    for (0..3) |_| {
        var count: std.atomic.Value(u32) = .init(0);
        var threads: [thread_count]std.Thread = undefined;
        const producer: Producer = .{ .handle = handle, .count = &count };
        for (&threads) |*thread| thread.* = try .spawn(.{}, Producer.run, .{ producer, times });
        defer for (threads) |thread| thread.join();
        var seen: u32 = 0;
        while (seen < times * thread_count) {
            const events = try subject.wait(2000);
            try expectEqual(1, events.len); // else a trigger was lost
            try expectEqual(1, event.take(handle));
            seen = count.load(.monotonic);
        }
    }
}

/// Takes triggers until it is told to stop.
const Consumer = struct {
    handle: abi.Handle,
    taken: *std.atomic.Value(u32),
    stop: *std.atomic.Value(bool),

    fn run(self: Consumer) void {
        while (!self.stop.load(.monotonic)) {
            // There may be fewer cores than threads here.
            if (event.take(self.handle) == 1) _ = self.taken.fetchAdd(1, .release) else std.Thread.yield() catch {};
        }
    }
};

test "of several threads, exactly one takes a trigger" {
    var handle: abi.Handle = undefined;
    const reference = try create(&handle);
    defer reference.free();
    var taken: std.atomic.Value(u32) = .init(0);
    var stop: std.atomic.Value(bool) = .init(false);
    var threads: [3]std.Thread = undefined;
    const consumer: Consumer = .{ .handle = handle, .taken = &taken, .stop = &stop };
    for (&threads) |*thread| thread.* = try .spawn(.{}, Consumer.run, .{consumer});

    const give_up_ns = os.monotonicNanoseconds() + 30 * std.time.ns_per_s;
    for (1..2001) |expected| {
        try expectEqual(0, event.trigger(handle));
        while (taken.load(.acquire) < expected and os.monotonicNanoseconds() < give_up_ns) std.Thread.yield() catch {};
    }
    stop.store(true, .monotonic);
    for (threads) |thread| thread.join();
    try expectEqual(2000, taken.load(.acquire));
    try expectEqual(0, event.take(handle));
}

test "threads may open and close an event while others trigger it" {
    const Opener = struct {
        fn run(handle: abi.Handle) void {
            for (0..5000) |_| {
                const own = event.Reference.create() orelse return;
                defer own.free();
                if (own.open(handle) < 0) return;
                _ = event.trigger(handle);
            }
        }
    };
    for (0..20) |_| {
        var handle: abi.Handle = undefined;
        const reference = try create(&handle);
        const thread: std.Thread = try .spawn(.{}, Opener.run, .{handle});
        for (0..100) |_| _ = event.trigger(handle);
        reference.free();
        thread.join();
        try expectCode(.stale_handle, event.trigger(handle));
    }
}
