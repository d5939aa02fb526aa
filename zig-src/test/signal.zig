//! Signals, and what the process did with them before.

const std = @import("std");
const linux = std.os.linux;
const os = @import("../os.zig").os;
const signal = @import("../watch/signal.zig");
const support = @import("support.zig");
const Subject = support.Subject;
const expectEqual = std.testing.expectEqual;

/// To this very thread, so that it has been handled when this returns.
const raise = os.raise;
const usr1: i32 = @intFromEnum(linux.SIG.USR1);

fn open(number: i32) !*signal.Watch {
    const watch = signal.Watch.create() orelse return error.NoWatch;
    try expectEqual(0, watch.open(number));
    return watch;
}

fn expectNoWatch(errno: os.Errno, number: i32) !void {
    const watch = signal.Watch.create() orelse return error.NoWatch;
    defer watch.free();
    try support.expectErrno(errno, watch.open(number));
}

fn actionOf(number: i32) !os.SignalAction {
    var action: os.SignalAction = undefined;
    try expectEqual(0, os.signalAction(@intCast(number), &action));
    return action;
}

test "a signal that comes several times is taken once" {
    const watch = try open(usr1);
    defer watch.free();
    try expectEqual(0, watch.take());
    for (0..3) |_| raise(.USR1);
    const subject: Subject = try .init(.epoll);
    defer subject.deinit();
    try subject.expectOnly(try subject.register(watch.descriptor, support.read), support.read);
    try expectEqual(1, watch.take());
    try expectEqual(0, watch.take());
}

test "every watch of a signal is told, and those of others are not" {
    const watches = [_]*signal.Watch{ try open(usr1), try open(usr1), try open(@intFromEnum(linux.SIG.USR2)) };
    defer for (watches) |watch| watch.free();
    raise(.USR1);
    for (watches, [_]i32{ 1, 1, 0 }) |watch, expected| try expectEqual(expected, watch.take());
    watches[0].close();
    raise(.USR1);
    try expectEqual(1, watches[1].take());
}

test "who handled the signal before is called as well, and is back after the last watch" {
    var former: support.SignalCount(.USR1) = .init();
    defer former.deinit();
    const before = try actionOf(usr1);
    const first = try open(usr1);
    defer first.free();
    const second = try open(usr1);
    defer second.free();
    raise(.USR1);
    try expectEqual(1, former.get());
    first.close();
    first.close();
    raise(.USR1);
    try expectEqual(2, former.get());
    second.close();
    try expectEqual(before, try actionOf(usr1));
    raise(.USR1);
    try expectEqual(3, former.get());
}

test "an ignored signal and a default action come back too" {
    for ([_]?linux.Sigaction.handler_fn{ linux.SIG.IGN, linux.SIG.DFL }) |handler| {
        const action: linux.Sigaction = .{
            .handler = .{ .handler = handler },
            .mask = linux.sigemptyset(),
            .flags = 0,
        };
        try expectEqual(0, linux.sigaction(.USR2, &action, null));
        const number: i32 = @intFromEnum(linux.SIG.USR2);
        const before = try actionOf(number);
        const watch = try open(number);
        raise(.USR2);
        try expectEqual(1, watch.take());
        watch.free();
        try expectEqual(before, try actionOf(number));
    }
}

test "a watch of SIGCHLD leaves zombies, and tells of stopped children, only where that was so before" {
    const SA = linux.SA;
    const number: i32 = @intFromEnum(linux.SIG.CHLD);
    const before = try actionOf(number);
    defer _ = os.restoreSignalAction(@intCast(number), &before);
    for ([_]struct { ?linux.Sigaction.handler_fn, u32, u32 }{
        .{ linux.SIG.IGN, 0, SA.NOCLDWAIT },
        .{ linux.SIG.DFL, SA.NOCLDWAIT, SA.NOCLDWAIT },
        .{ linux.SIG.DFL, SA.NOCLDSTOP, SA.NOCLDSTOP },
    }) |case| {
        const handler, const flags, const expected = case;
        const action: linux.Sigaction = .{
            .handler = .{ .handler = handler },
            .mask = linux.sigemptyset(),
            .flags = flags,
        };
        try expectEqual(0, linux.sigaction(.CHLD, &action, null));
        const watch = try open(number);
        defer watch.free();
        try expectEqual(expected, (try actionOf(number)).flags & (SA.NOCLDSTOP | SA.NOCLDWAIT));
        const pid: i32 = @bitCast(@as(u32, @truncate(linux.fork())));
        if (pid == 0) linux.exit_group(0);
        var status: u32 = undefined;
        const reaped = linux.errno(linux.wait4(pid, @ptrCast(&status), 0, null));
        try expectEqual(if (expected == SA.NOCLDWAIT) linux.E.CHILD else .SUCCESS, reaped);
        try std.testing.expect(support.becomesReadable(watch.descriptor, 1000));
    }
}

test "a handler that was installed over ours stays, and the next watch calls it" {
    const before = try actionOf(usr1);
    defer _ = os.restoreSignalAction(@intCast(usr1), &before);
    const first = try open(usr1);
    const later: support.SignalCount(.USR1) = .init();
    const second = try open(usr1);
    raise(.USR1);
    try expectEqual(1, first.take());
    try expectEqual(1, second.take());
    try expectEqual(1, later.get());
    first.free();
    second.free();
    raise(.USR1);
    try expectEqual(2, later.get());
}

/// A handler of somebody else, which passes signals on to who was there before it.
const Chain = struct {
    var calls: u32 = 0;
    var former: linux.Sigaction = undefined;

    fn install() !void {
        const action: linux.Sigaction = .{
            .handler = .{ .handler = call },
            .mask = linux.sigemptyset(),
            .flags = 0,
        };
        calls = 0;
        try expectEqual(0, linux.sigaction(.USR1, &action, &former));
    }

    fn call(number: linux.SIG) callconv(.c) void {
        calls += 1;
        former.handler.handler.?(number);
    }
};

test "a handler that was installed over ours and passes signals on is called once for each" {
    const before = try actionOf(usr1);
    defer _ = os.restoreSignalAction(@intCast(usr1), &before);
    var original: support.SignalCount(.USR1) = .init();
    defer original.deinit();
    const first = try open(usr1);
    try Chain.install();
    for (1..3) |times| {
        const second = try open(usr1);
        raise(.USR1);
        try expectEqual(times, Chain.calls);
        try expectEqual(times, original.get());
        for ([_]*signal.Watch{ first, second }) |watch| try expectEqual(1, watch.take());
        second.free();
    }
    first.free();
    raise(.USR1);
    try expectEqual(3, Chain.calls);
    try expectEqual(3, original.get());
}

test "put back after the last watch, our handler lets the signal take its default action" {
    const before = try actionOf(usr1);
    defer _ = os.restoreSignalAction(@intCast(usr1), &before);
    const watch = try open(usr1);
    try Chain.install();
    watch.free();
    raise(.USR1);
    try expectEqual(1, Chain.calls); // and we live
    const pid: i32 = @bitCast(@as(u32, @truncate(linux.fork())));
    if (pid == 0) {
        _ = linux.sigaction(.USR1, &Chain.former, null);
        raise(.USR1);
        linux.exit_group(0);
    }
    var status: u32 = undefined;
    try expectEqual(@as(usize, @intCast(pid)), linux.wait4(pid, @ptrCast(&status), 0, null));
    try expectEqual(@intFromEnum(linux.SIG.USR1), status & 0x7f);
}

/// How a child ends that raises the signal and then exits with `former`'s count, in the form of wait(2).
fn raiseInChild(number: linux.SIG, former: support.SignalCount(.USR1)) !u32 {
    const pid: i32 = @bitCast(@as(u32, @truncate(linux.fork())));
    if (pid == 0) {
        raise(number);
        linux.exit_group(@intCast(former.get()));
    }
    var status: u32 = undefined;
    try expectEqual(@as(usize, @intCast(pid)), linux.wait4(pid, @ptrCast(&status), 0, null));
    return status;
}

test "a watched signal ends a forked process as by default, and the watch is not told" {
    const former: support.SignalCount(.USR1) = .init();
    defer former.deinit();
    const watch = try open(@intFromEnum(linux.SIG.TERM));
    defer watch.free();
    try expectEqual(@intFromEnum(linux.SIG.TERM), try raiseInChild(.TERM, former));
    try expectEqual(0, watch.take());
}

test "in a forked process a watched signal goes to who handled it before, and the watch is not told" {
    const former: support.SignalCount(.USR1) = .init();
    defer former.deinit();
    const watch = try open(usr1);
    defer watch.free();
    try expectEqual(1 << 8, try raiseInChild(.USR1, former));
    try expectEqual(0, watch.take());
}

test "signals that cannot be watched are EINVAL" {
    const numbers = [_]i32{ 0, -1, 65, std.math.maxInt(i32), std.math.minInt(i32), 32, 33 };
    for (numbers) |number| try expectNoWatch(.INVAL, number);
    for ([_]linux.SIG{ .KILL, .STOP, .SEGV, .BUS, .ILL, .FPE }) |number| {
        try expectNoWatch(.INVAL, @intCast(@intFromEnum(number)));
    }
}

test "more watches than there is room for are EAGAIN" {
    const before = try actionOf(usr1);
    var watches: [signal.capacity]*signal.Watch = undefined;
    for (&watches) |*watch| watch.* = try open(usr1);
    try expectNoWatch(.AGAIN, usr1);
    raise(.USR1);
    for (watches) |watch| {
        try expectEqual(1, watch.take());
        watch.free();
    }
    try expectEqual(before, try actionOf(usr1));
}

test "watches come and go while the signal is raised from other threads" {
    const Raiser = struct {
        fn run(stop: *std.atomic.Value(bool)) void {
            while (!stop.load(.monotonic)) _ = linux.kill(linux.getpid(), .USR1);
        }
    };
    // What is left when a watch has gone and a signal is still under way.
    var former: support.SignalCount(.USR1) = .init();
    defer former.deinit();
    var stop: std.atomic.Value(bool) = .init(false);
    const thread: std.Thread = try .spawn(.{}, Raiser.run, .{&stop});
    for (0..2000) |_| (try open(usr1)).free();
    stop.store(true, .monotonic);
    thread.join();
}
