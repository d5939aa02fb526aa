//! What every backend must do, in one suite that runs on each.

const std = @import("std");
const builtin = @import("builtin");
const linux = std.os.linux;
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const support = @import("support.zig");
const available_backends = @import("../selector.zig").available_backends;
const Pipe = support.Pipe;
const Subject = support.Subject;
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const expectCode = support.expectCode;
const expectErrno = support.expectErrno;
const read = support.read;
const write = support.write;
const failed = support.failed;

comptime {
    for (std.enums.values(abi.Backend)) |backend| {
        if (available_backends >> @intFromEnum(backend) & 1 != 0) _ = Suite(backend);
    }
}

fn Suite(comptime backend: abi.Backend) type {
    return struct {
        test "a wait is never early" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            for ([_]f64{ 0.05, 0.3, 1, 1.7, 3.001, 10 }) |timeout_ms| {
                for (0..5) |_| {
                    const start_ns = os.monotonicNanoseconds();
                    try expectEqual(0, (try subject.wait(timeout_ms)).len);
                    try expect(support.elapsedMilliseconds(start_ns) >= timeout_ms);
                }
            }
        }

        test "a wait is precise below a millisecond" {
            if (!support.is_posix) return error.SkipZigTest; // the clock of Windows ticks more slowly
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            var best_ms: f64 = 1000;
            for (0..20) |_| {
                const start_ns = os.monotonicNanoseconds();
                _ = try subject.wait(0.1);
                best_ms = @min(best_ms, support.elapsedMilliseconds(start_ns));
            }
            try expect(best_ms < 1);
        }

        test "no timeout and NaN return at once" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const start_ns = os.monotonicNanoseconds();
            for ([_]f64{ 0, -0.0, std.math.nan(f64) }) |timeout_ms| {
                try expectEqual(0, (try subject.wait(timeout_ms)).len);
            }
            try expect(support.elapsedMilliseconds(start_ns) < 1000);
        }

        test "a negative or huge timeout still sees what is ready" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            _ = try subject.register(pipe.writer, write);
            for ([_]f64{ -1, -std.math.inf(f64), std.math.inf(f64), 1e300, 3e12, 1e12 }) |timeout_ms| {
                try expectEqual(1, (try subject.wait(timeout_ms)).len);
            }
        }

        test "a pipe becomes readable, and stays so until it is read" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            const handle = try subject.register(pipe.reader, read);
            try subject.expectNothing();
            try pipe.put();
            for (0..3) |_| try subject.expectOnly(handle, read);
            try pipe.take();
            try subject.expectNothing();
        }

        test "a pipe is writable until it is full" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            const handle = try subject.register(pipe.writer, write);
            try subject.expectOnly(handle, write);
            pipe.fill();
            try subject.expectNothing();
        }

        test "both directions come in one event" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pair: support.SocketPair = try .init();
            defer pair.deinit();
            const handle = try subject.register(pair.ends[0], read | write);
            try subject.expectOnly(handle, write);
            try expectEqual(1, os.send(pair.ends[1], "x", 0));
            try subject.expectOnly(handle, read | write);
        }

        test "what is no longer of interest is not reported" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pair: support.SocketPair = try .init();
            defer pair.deinit();
            const handle = try subject.register(pair.ends[0], read);
            try expectEqual(1, os.send(pair.ends[1], "x", 0));
            try subject.expectOnly(handle, read);
            try subject.setInterest(handle, 0);
            try subject.expectNothing();
            try subject.setInterest(handle, 0);
            try subject.setInterest(handle, read);
            try subject.expectOnly(handle, read);
            try subject.setInterest(handle, write);
            try subject.expectOnly(handle, write);
        }

        test "unknown interest bits are no interest" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            _ = try subject.register(pipe.writer, failed | 0xffff_fff8);
            try subject.expectNothing();
        }

        test "a hang-up wakes a reader, but nobody when there is no interest" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer _ = os.close(pipe.reader);
            const handle = try subject.register(pipe.reader, 0);
            _ = os.close(pipe.writer);
            try subject.expectNothing();
            try subject.setInterest(handle, read);
            try expect((try subject.wait(1000))[0].readiness & (read | failed) != 0);
        }

        test "a stale handle is refused" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            const stale = try subject.register(pipe.reader, read);
            try subject.unregister(stale);
            const fresh = try subject.register(pipe.reader, read);
            const next: abi.Handle = .{ .index = fresh.index + 1, .generation = 1 };
            const far: abi.Handle = .{ .index = std.math.maxInt(u32), .generation = 1 };
            const zero: abi.Handle = .{ .index = 0, .generation = 0 };
            for ([_]abi.Handle{ stale, next, far, zero }) |handle| {
                try expectCode(.stale_handle, subject.selector.setInterest(handle, read));
                try expectCode(.stale_handle, subject.selector.unregister(handle, false));
            }
            try pipe.put();
            try subject.expectOnly(fresh, read);
        }

        test "a number that is reused gets no event of its predecessor" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const old: Pipe = try .init();
            defer old.deinit();
            const old_handle = try subject.register(old.reader, read);
            try old.put();
            const event = (try subject.wait(1000))[0];
            try subject.unregister(old_handle);
            _ = os.close(old.reader);

            try support.openIdleAt(old.reader);
            const new_handle = try subject.register(old.reader, read);
            try expect(event.generation != new_handle.generation or event.index != new_handle.index);
            try subject.expectNothing();
        }

        test "files and folders cannot be waited for" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            inline for (.{ .file, .folder }) |which| {
                const file = try support.openUnwaitable(which);
                defer support.closeUnwaitable(file);
                const handle = try subject.register(file, 0);
                try expectErrno(support.unwaitable_errno, subject.selector.setInterest(handle, read));
                try subject.expectNothing();
                try subject.unregister(handle);
            }
        }

        test "unregistered as closing, a number that lives on in a duplicate is not reported" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            const copy = try support.duplicate(pipe.reader, 0);
            const handle = try subject.register(copy, read);
            try expect(subject.selector.unregister(handle, true) >= 0);
            try expectCode(.stale_handle, subject.selector.unregister(handle, true));
            _ = os.close(copy);
            try pipe.put();
            try subject.expectNothing();
        }

        test "a closed number cannot be registered" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            pipe.deinit();
            var handle: abi.Handle = undefined;
            for ([_]i32{ pipe.reader, -1, std.math.minInt(i32), std.math.maxInt(i32) }) |descriptor| {
                try expectErrno(.BADF, subject.selector.register(descriptor, false, &handle));
            }
        }

        test "a hundred ready descriptors take two waits at most" {
            try expectAllReported(100, 2);
        }

        test "more ready descriptors than the first array holds" {
            try expectAllReported(1500, 4);
        }

        fn expectAllReported(comptime total: usize, waits: usize) !void {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            var copies: [total]i32 = undefined;
            for (&copies) |*copy| {
                copy.* = try support.duplicate(pipe.writer, 0);
                _ = try subject.register(copy.*, write);
            }
            defer for (copies) |copy| {
                _ = os.close(copy);
            };
            var seen: [total]bool = @splat(false);
            for (0..waits) |_| {
                for (try subject.wait(1000)) |event| {
                    try expectEqual(write, event.readiness);
                    seen[event.index] = true;
                }
            }
            try expectEqual(total, std.mem.count(bool, &seen, &.{true}));
            try expectEqual(total, (try subject.wait(1000)).len);
        }

        test "nobody starves behind a full event array" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            var copies: [10]i32 = undefined;
            for (&copies) |*copy| {
                copy.* = try support.duplicate(pipe.writer, 0);
                _ = try subject.register(copy.*, write);
            }
            defer for (copies) |copy| {
                _ = os.close(copy);
            };
            var seen: [10]u32 = @splat(0);
            const selector = subject.selector;
            for (0..10) |_| {
                const small = selector.events[0..3];
                const count = @field(selector.backend, @tagName(backend)).wait(&selector.table, small, 0);
                try expectEqual(3, count);
                for (small) |event| seen[event.index] += 1;
            }
            for (seen) |times| try expectEqual(3, times);
        }

        test "numbers above FD_SETSIZE" {
            if (!support.is_posix) return error.SkipZigTest; // chooses the numbers of duplicates itself
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            for ([_]i32{ 1023, 1024, 5000 }) |lowest| {
                const high = try support.duplicate(pipe.reader, lowest);
                defer _ = os.close(high);
                const handle = try subject.register(high, read);
                try subject.expectNothing();
                try pipe.put();
                try subject.expectOnly(handle, read);
                try pipe.take();
                try subject.unregister(handle);
            }
        }

        test "a descriptor closed by a foreign hand" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer _ = os.close(pipe.writer);
            const other: Pipe = try .init();
            defer other.deinit();
            const handle = try subject.register(pipe.reader, read);
            const other_handle = try subject.register(other.reader, read);
            _ = os.close(pipe.reader);

            // Whether the waiter is told depends on the system; that the others are served does not.
            try other.put();
            for (0..3) |_| {
                for (try subject.wait(1000)) |event| {
                    if (event.index == handle.index) try expectEqual(read | failed, event.readiness);
                }
            }
            try subject.expectOnly(other_handle, read);
            try expectErrno(.BADF, subject.selector.setInterest(handle, write));
            try subject.unregister(handle);
            try expectCode(.stale_handle, subject.selector.unregister(handle, false));
        }

        test "a descriptor closed while its file lives on does not haunt the wait" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            const other: Pipe = try .init();
            defer other.deinit();
            const closed = try support.duplicate(pipe.reader, 0);
            const watched = try support.duplicate(pipe.reader, 0);
            const handle = try subject.register(closed, read);
            const other_handle = try subject.register(other.reader, read);
            const watched_handle = try subject.register(watched, read);
            _ = os.close(closed);
            _ = os.close(watched);
            try subject.unregister(handle);
            try pipe.put();
            // The one that is still registered may be told that its number is dead, once.
            for (0..3) |_| {
                for (try subject.wait(5)) |event| {
                    try expectEqual(watched_handle.index, event.index);
                }
            }
            try subject.expectNothing();
            try other.put();
            try subject.expectOnly(other_handle, read);
        }

        test "a registration whose number is dead stays quiet" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            const copy = try support.duplicate(pipe.reader, 0);
            const handle = try subject.register(copy, read);
            _ = os.close(copy);
            try expectErrno(.BADF, subject.selector.setInterest(handle, write));
            try pipe.put();
            try subject.expectNothing();
            try expectErrno(.BADF, subject.selector.setInterest(handle, read));
            try subject.unregister(handle);
        }

        test "a number that was closed and duplicated again is watched again" {
            if (!support.is_posix) return error.SkipZigTest; // chooses the numbers of duplicates itself
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            const copy = try support.duplicate(pipe.reader, 0);
            defer _ = os.close(copy);
            const handle = try subject.register(copy, read);
            _ = os.close(copy);
            try subject.unregister(handle);
            try expectEqual(copy, os.duplicateOver(pipe.reader, copy));
            const again = try subject.register(copy, read);
            try pipe.put();
            try subject.expectOnly(again, read);
        }

        test "a number that came to name what cannot be watched is forgotten when the interest widens" {
            if (!support.is_posix) return error.SkipZigTest; // chooses the numbers of duplicates itself
            const file = try support.openUnwaitable(.file);
            defer support.closeUnwaitable(file);
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            const handle = try subject.register(pipe.reader, read);
            try expectEqual(pipe.reader, os.duplicateOver(file, pipe.reader));
            try expectErrno(.BADF, subject.selector.setInterest(handle, read | write));
            try expectErrno(.PERM, subject.selector.setInterest(handle, read));
            try subject.unregister(handle);
            const again = try subject.register(pipe.reader, 0);
            try subject.unregister(again);
        }

        test "closing twice is once, and a closed selector says so" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            const selector = subject.selector;
            const handle = try subject.register(pipe.writer, write);
            try subject.expectOnly(handle, write);
            selector.close();
            selector.close();
            var other: abi.Handle = undefined;
            try expectCode(.closed, selector.register(pipe.reader, false, &other));
            try expectCode(.closed, selector.setInterest(handle, read));
            try expectCode(.closed, selector.unregister(handle, false));
            try expectCode(.closed, selector.wait(0, abi.event_capacity));
            try expectCode(.closed, selector.descriptor());
            try expectEqual(write, selector.events[0].readiness);
        }

        test "abandoned, a selector closes what is its own and still registered" {
            const subject: Subject = try .init(backend);
            const kept: Pipe = try .init();
            defer kept.deinit();
            const own: Pipe = try .init();
            var handle: abi.Handle = undefined;
            try expectEqual(0, subject.selector.register(own.reader, true, &handle));
            try expectEqual(0, subject.selector.register(own.writer, true, &handle));
            try expectEqual(0, subject.selector.register(kept.reader, false, &handle));
            try expectEqual(0, subject.selector.register(kept.writer, true, &handle));
            try subject.unregister(handle);
            subject.deinit();
            for ([_]i32{ own.reader, own.writer }) |closed| try expectErrno(.BADF, os.checkOpen(closed));
            for ([_]i32{ kept.reader, kept.writer }) |open| try expectEqual(0, os.checkOpen(open));
        }

        test "closed, a selector leaves open what is its own" {
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            const pipe: Pipe = try .init();
            defer pipe.deinit();
            var handle: abi.Handle = undefined;
            try expectEqual(0, subject.selector.register(pipe.reader, true, &handle));
            subject.selector.close();
            try expectEqual(0, os.checkOpen(pipe.reader));
        }

        test "selectors leak no descriptor" {
            const event = os.eventCreate();
            defer _ = os.close(event);
            // Else Windows would open some of its own for whom waits.
            try expect(os.eventRaise(event) >= 0);
            const before = try support.descriptorMark();
            for (0..50) |i| {
                const subject: Subject = try .init(backend);
                _ = try subject.register(event, support.read);
                if (i % 2 == 0) try expectEqual(1, (try subject.wait(1000)).len);
                subject.deinit();
            }
            // An earlier test's threads may have ended as well.
            try expect(try support.descriptorMark() <= before);
        }

        test "signals do not shorten a wait" {
            if (!support.is_posix) return error.SkipZigTest; // Windows has no signals
            const subject: Subject = try .init(backend);
            defer subject.deinit();
            var alarms: support.SignalCount(.ALRM) = .init();
            defer alarms.deinit();
            setAlarms(7_000);
            defer setAlarms(0);
            const start_ns = os.monotonicNanoseconds();
            try expectEqual(0, (try subject.wait(50)).len);
            const elapsed_ms = support.elapsedMilliseconds(start_ns);
            try expect(elapsed_ms >= 50);
            try expect(elapsed_ms < 1000);
            try expect(alarms.get() > 1);
        }

        test "any order of calls agrees with a model" {
            for ([_]bool{ false, true }) |is_own| try agreeWithModel(backend, is_own, 3000);
        }
    };
}

test "epoll knows a number that came to name something else" {
    if (builtin.os.tag != .linux) return error.SkipZigTest; // epoll is Linux's
    const subject: Subject = try .init(.epoll);
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const other: Pipe = try .init();
    defer other.deinit();
    const handle = try subject.register(pipe.reader, read);
    try expectEqual(pipe.reader, os.duplicateOver(other.reader, pipe.reader));
    try expectErrno(.BADF, subject.selector.setInterest(handle, read | write));
    try subject.unregister(handle);
}

test "epoll rests while there is no descriptor for the set that is free of a stale event" {
    if (builtin.os.tag != .linux) return error.SkipZigTest; // epoll is Linux's
    const subject: Subject = try .init(.epoll);
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const closed = try support.duplicate(pipe.reader, 0);
    const handle = try subject.register(closed, read);
    _ = os.close(closed);
    try subject.unregister(handle);
    try pipe.put();
    const limit: support.DescriptorLimit = try .current();
    defer limit.restore();
    try limit.set(@intCast(try support.descriptorMark()));
    const start_ns = os.monotonicNanoseconds();
    for (0..3) |_| try expectEqual(0, (try subject.wait(0)).len);
    try expect(support.elapsedMilliseconds(start_ns) >= 3);
    limit.restore();
    for (0..3) |_| try expectEqual(0, (try subject.wait(0)).len);
    try expect(!support.becomesReadable(subject.selector.descriptor(), 0));
}

test "epoll without epoll_pwait2 is coarser, but never early" {
    if (builtin.os.tag != .linux) return error.SkipZigTest; // epoll is Linux's
    const subject: Subject = try .init(.epoll);
    defer subject.deinit();
    subject.selector.backend.epoll.has_precise_wait = false;
    for ([_]f64{ 0, 0.3, 1, 2.5 }) |timeout_ms| {
        const start_ns = os.monotonicNanoseconds();
        try expectEqual(0, (try subject.wait(timeout_ms)).len);
        try expect(support.elapsedMilliseconds(start_ns) >= timeout_ms);
    }
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const handle = try subject.register(pipe.writer, write);
    try subject.expectOnly(handle, write);
    try expectEqual(1, (try subject.wait(-1)).len);
}

fn setAlarms(interval_us: isize) void {
    const interval: linux.timeval = .{ .sec = 0, .usec = interval_us };
    const timer = [_]linux.timeval{ interval, interval };
    const real_time_clock = 0;
    _ = linux.syscall3(.setitimer, real_time_clock, @intFromPtr(&timer), 0);
}

/// A pipe whose reader may be registered, and what must come of it.
const Modelled = struct {
    pipe: Pipe,
    handle: ?abi.Handle = null,
    interest: u32 = 0,
    bytes: usize = 0,
    /// It was readable since the last wait, which a completion port may tell although it is so no longer.
    was_readable: bool = false,

    fn isReadable(self: Modelled) bool {
        return self.interest != 0 and self.bytes > 0;
    }

    /// Its place among the models.
    fn find(models: []const Modelled, event: abi.Event) !usize {
        for (models, 0..) |model, i| {
            const handle = model.handle orelse continue;
            if (handle.index == event.index and handle.generation == event.generation) return i;
        }
        return error.UnknownHandle;
    }
};

/// Random registrations, interests and bytes on a handful of pipes, against what must come of them.
fn agreeWithModel(backend: abi.Backend, is_own: bool, steps: usize) !void {
    var subject: Subject = try .init(backend);
    defer subject.deinit();
    subject.is_own = is_own;
    var models: [12]Modelled = undefined;
    for (&models) |*model| model.* = .{ .pipe = try .init() };
    defer for (models) |model| model.pipe.deinit();

    var prng: std.Random.DefaultPrng = .init(std.testing.random_seed);
    const random = prng.random();
    for (0..steps) |_| {
        const model = &models[random.uintLessThan(usize, models.len)];
        switch (random.uintLessThan(u32, 5)) {
            0 => if (model.handle) |handle| {
                try subject.unregister(handle);
                try expectCode(.stale_handle, subject.selector.setInterest(handle, read));
                model.handle = null;
                model.interest = 0;
            } else {
                model.handle = try subject.register(model.pipe.reader, 0);
            },
            1 => if (model.handle) |handle| {
                model.interest = if (random.boolean()) read else 0;
                try subject.setInterest(handle, model.interest);
            },
            2 => {
                try model.pipe.put();
                model.bytes += 1;
            },
            3 => if (model.bytes > 0) {
                try model.pipe.take();
                model.was_readable = backend == .iocp;
                model.bytes -= 1;
            },
            else => try expectModelled(subject, backend, &models),
        }
    }
}

/// Expects a wait to tell of each pipe that is readable, once, and of no other. A completion port may tell of a byte
/// a moment after it has come.
fn expectModelled(subject: Subject, backend: abi.Backend, models: []Modelled) !void {
    const give_up_ns = os.monotonicNanoseconds() + std.time.ns_per_s;
    var seen: u32 = 0;
    var expected: u32 = 0;
    for (models, 0..) |model, i| {
        if (model.isReadable()) expected |= @as(u32, 1) << @intCast(i);
    }
    while (true) {
        var told: u32 = 0;
        for (try subject.wait(0)) |event| {
            const i = try Modelled.find(models, event);
            try expect(models[i].isReadable() or models[i].was_readable);
            const bit = @as(u32, 1) << @intCast(i);
            try expectEqual(0, told & bit);
            told |= bit;
        }
        seen |= told;
        if (seen & expected == expected) break;
        try expect(backend == .iocp and os.monotonicNanoseconds() < give_up_ns);
    }
    for (models) |*model| model.was_readable = false;
}
