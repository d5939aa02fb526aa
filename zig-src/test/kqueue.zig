//! What is kqueue's own, on the model of it; `behaviour.zig` has what every backend must do.

const std = @import("std");
const linux = std.os.linux;
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const model = @import("kqueue_model.zig");
const kevent_file = @import("../os/kevent.zig");
const sources = @import("../os/kqueue_sources.zig").Sources(model);
const support = @import("support.zig");
const Kevent = kevent_file.Kevent;
const EV = kevent_file.EV;
const EVFILT = kevent_file.EVFILT;
const NOTE = kevent_file.NOTE;
const Pipe = support.Pipe;
const Subject = support.Subject;
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const expectErrno = support.expectErrno;
const read = support.read;
const write = support.write;
const failed = support.failed;

/// One whose descriptors are the library's own, so that their changes wait.
fn ownSubject() !Subject {
    var subject: Subject = try .init(.kqueue);
    subject.is_own = true;
    return subject;
}

fn queueOf(subject: Subject) i32 {
    return subject.selector.backend.kqueue.queue;
}

test "changes of own descriptors go to the kernel with the next wait" {
    const subject = try ownSubject();
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    var copies: [100]i32 = undefined;
    defer for (copies) |copy| {
        _ = os.close(copy);
    };
    const before = model.calls;
    for (&copies) |*copy| {
        copy.* = try support.duplicate(pipe.writer, 0);
        _ = try subject.register(copy.*, write);
    }
    try expectEqual(before, model.calls);
    try expectEqual(copies.len, (try subject.wait(1000)).len);
    try expectEqual(before + 1, model.calls);
}

test "more changes than wait at a time" {
    const subject = try ownSubject();
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    try pipe.put();
    const handle = try subject.register(pipe.reader, 0);
    for (0..1001) |round| try subject.setInterest(handle, if (round % 2 == 0) read else 0);
    try subject.expectOnly(handle, read);
    for (0..1001) |round| try subject.setInterest(handle, if (round % 2 == 0) 0 else read);
    try subject.expectNothing();
    try expectEqual(0, model.knoteCount(queueOf(subject)));
}

test "a refused change of an own descriptor is reported once, as its failure" {
    const subject = try ownSubject();
    defer subject.deinit();
    const other: Pipe = try .init();
    defer other.deinit();
    for ([_]usize{ 0, 1000 }) |changes_between| {
        const pipe: Pipe = try .init();
        defer _ = os.close(pipe.writer);
        const handle = try subject.register(pipe.reader, read | write);
        _ = os.close(pipe.reader);
        const other_handle = try subject.register(other.reader, 0);
        for (0..changes_between) |round| try subject.setInterest(other_handle, if (round % 2 == 0) read else 0);
        try subject.expectOnly(handle, read | write | failed);
        try subject.expectNothing();
        try subject.unregister(handle);
        try subject.unregister(other_handle);
    }
}

test "less room for events than there are changes" {
    const subject = try ownSubject();
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    var copies: [10]i32 = undefined;
    for (&copies) |*copy| {
        copy.* = try support.duplicate(pipe.writer, 0);
        _ = try subject.register(copy.*, write);
    }
    // Half of them are refused.
    for (copies[0..5]) |copy| _ = os.close(copy);
    defer for (copies[5..]) |copy| {
        _ = os.close(copy);
    };
    var readiness: [10]u32 = @splat(0);
    const selector = subject.selector;
    for (0..10) |_| {
        const small = selector.events[0..2];
        const count = selector.backend.kqueue.wait(&selector.table, small, null);
        try expect(count > 0);
        for (small[0..@intCast(count)]) |event| readiness[event.index] |= event.readiness;
    }
    try expectEqual([_]u32{write | failed} ** 5 ++ [_]u32{write} ** 5, readiness);
}

test "a refused change of what is unregistered by then is reported to nobody" {
    const subject = try ownSubject();
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer _ = os.close(pipe.writer);
    const handle = try subject.register(pipe.reader, read);
    try expect(subject.selector.unregister(handle, true) >= 0);
    _ = os.close(pipe.reader);
    try subject.expectNothing();
}

test "a number that is closed and reused between two waits is its new owner's" {
    const subject = try ownSubject();
    defer subject.deinit();
    const old: Pipe = try .init();
    defer _ = os.close(old.writer);
    const old_handle = try subject.register(old.reader, read);
    try expect(subject.selector.unregister(old_handle, true) >= 0);
    _ = os.close(old.reader);
    const new: Pipe = try .init();
    defer new.deinit();
    try expectEqual(old.reader, new.reader);
    const new_handle = try subject.register(new.reader, read);
    try new.put();
    try subject.expectOnly(new_handle, read);
    try subject.setInterest(new_handle, 0);
    try subject.expectNothing();
}

test "an event that nobody asked for ends its knote" {
    const subject = try ownSubject();
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const handle = try subject.register(pipe.reader, read);
    try subject.expectNothing();
    try expect(subject.selector.unregister(handle, true) >= 0); // and yet it stays open
    try pipe.put();
    try expectEqual(1, model.knoteCount(queueOf(subject)));
    try subject.expectNothing();
    try expectEqual(0, model.knoteCount(queueOf(subject)));
}

test "a knote that went with its file is neither missed nor reported as refused" {
    const subject = try ownSubject();
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const other: Pipe = try .init();
    defer other.deinit();
    const handle = try subject.register(pipe.reader, read);
    try subject.expectNothing();
    try expectEqual(pipe.reader, os.duplicateOver(other.reader, pipe.reader));
    try subject.setInterest(handle, 0);
    try subject.setInterest(handle, read);
    try subject.expectNothing();
    try other.put();
    try subject.expectOnly(handle, read);
}

test "a number that came to name another file is not unwatched, and its owner is told" {
    const subject: Subject = try .init(.kqueue);
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const other: Pipe = try .init();
    defer other.deinit();
    const handle = try subject.register(pipe.reader, read);
    try expectEqual(pipe.reader, os.duplicateOver(other.reader, pipe.reader));
    try expectErrno(.BADF, subject.selector.setInterest(handle, 0));
    try subject.unregister(handle);
}

test "a number that came to name another file is not taken for the old one when the interest widens" {
    const subject: Subject = try .init(.kqueue);
    defer subject.deinit();
    const pair: support.SocketPair = try .init();
    defer pair.deinit();
    const other: support.SocketPair = try .init();
    defer other.deinit();
    const number = pair.ends[0];
    for ([_]u32{ read, write }) |before| {
        const handle = try subject.register(number, before);
        try expectEqual(number, os.duplicateOver(other.ends[@intFromBool(before == write)], number));
        try expectErrno(.BADF, subject.selector.setInterest(handle, read | write));
        try subject.expectNothing();
        try subject.setInterest(handle, write);
        try subject.setInterest(handle, read | write);
        try subject.expectOnly(handle, write);
        try subject.unregister(handle);
    }
}

test "a change that waits comes before one that does not" {
    var subject = try ownSubject();
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const stale = try subject.register(pipe.reader, read);
    try expectEqual(0, (try subject.wait(0)).len);
    try expect(subject.selector.unregister(stale, true) >= 0);
    try pipe.put();
    try expectEqual(0, (try subject.wait(0)).len); // which ends the stale knote with the next call
    subject.is_own = false;
    const handle = try subject.register(pipe.reader, read);
    for (0..2) |_| try subject.expectOnly(handle, read);
}

test "directions of many descriptors, each in one event" {
    const subject = try ownSubject();
    defer subject.deinit();
    var pairs: [20][2]i32 = undefined;
    var handles: [20]abi.Handle = undefined;
    for (&pairs, &handles) |*pair, *handle| {
        try expectEqual(0, linux.socketpair(linux.AF.UNIX, linux.SOCK.STREAM, 0, pair));
        handle.* = try subject.register(pair[0], read | write);
        try expectEqual(1, os.send(pair[1], "x", 0));
    }
    defer for (pairs) |pair| {
        for (pair) |end| _ = os.close(end);
    };
    for (0..3) |_| {
        const events = try subject.wait(1000);
        try expectEqual(pairs.len, events.len);
        for (events) |event| try expectEqual(read | write, event.readiness);
    }
}

test "the end of a stream is readable; where nobody reads any more has failed" {
    const subject: Subject = try .init(.kqueue);
    defer subject.deinit();
    const ended: Pipe = try .init();
    defer _ = os.close(ended.reader);
    _ = os.close(ended.writer);
    const end_handle = try subject.register(ended.reader, read);
    try subject.expectOnly(end_handle, read);
    try subject.unregister(end_handle);
    const unread: Pipe = try .init();
    defer _ = os.close(unread.writer);
    _ = os.close(unread.reader);
    try subject.expectOnly(try subject.register(unread.writer, write), write | failed);
}

test "the queue itself is readable while an event waits in it" {
    const subject: Subject = try .init(.kqueue);
    defer subject.deinit();
    const outer: Subject = try .init(.kqueue);
    defer outer.deinit();
    const handle = try outer.register(subject.selector.descriptor(), read);
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const inner_handle = try subject.register(pipe.reader, read);
    try outer.expectNothing();
    try pipe.put();
    try outer.expectOnly(handle, read);
    try subject.setInterest(inner_handle, 0);
    try outer.expectNothing();
}

test "once the queue itself may be watched, no change waits" {
    const subject = try ownSubject();
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const handle = try subject.register(pipe.reader, read);
    try expectEqual(queueOf(subject), subject.selector.descriptor());
    try expectEqual(1, model.knoteCount(queueOf(subject)));
    try subject.setInterest(handle, 0);
    try expectEqual(0, model.knoteCount(queueOf(subject)));
    const closed = try support.duplicate(pipe.reader, 0);
    const closed_handle = try subject.register(closed, 0);
    _ = os.close(closed);
    try expectErrno(.BADF, subject.selector.setInterest(closed_handle, read));
}

test "a refused change makes the queue itself readable, until waits have told it" {
    const subject = try ownSubject();
    defer subject.deinit();
    const pipe: Pipe = try .init();
    defer _ = os.close(pipe.writer);
    const handle = try subject.register(pipe.reader, read);
    _ = os.close(pipe.reader);
    try expect(support.becomesReadable(subject.selector.descriptor(), 1000));
    try subject.expectOnly(handle, read | failed);
    try subject.expectNothing();
    try expect(!support.becomesReadable(subject.selector.descriptor(), 0));
}

test "an event is readable while it is raised, and taken once" {
    const event = sources.eventCreate();
    defer _ = model.close(event);
    try expectErrno(.AGAIN, sources.eventClear(event));
    const subject: Subject = try .init(.kqueue);
    defer subject.deinit();
    const handle = try subject.register(event, read);
    try subject.expectNothing();
    for (0..2) |_| {
        for (0..3) |_| try expectEqual(0, sources.eventRaise(event));
        for (0..2) |_| try subject.expectOnly(handle, read);
        try expectEqual(1, sources.eventClear(event));
        try expectErrno(.AGAIN, sources.eventClear(event));
        try subject.expectNothing();
    }
}

/// A child that ends at once, with `exit_code`.
fn fork(exit_code: i32) !i32 {
    const pid: i32 = @bitCast(@as(u32, @truncate(linux.fork())));
    if (pid < 0) return error.NoProcess;
    if (pid == 0) linux.exit_group(exit_code);
    return pid;
}

/// Waits until the child has ended, and leaves it to be waited for.
fn awaitEnd(pid: i32) !void {
    var info: linux.siginfo_t = undefined;
    try expectEqual(0, linux.waitid(.PID, pid, &info, linux.W.EXITED | linux.W.NOWAIT, null));
}

fn reap(pid: i32) !void {
    var status: u32 = undefined;
    try expectEqual(@as(usize, @intCast(pid)), linux.wait4(pid, @ptrCast(&status), 0, null));
}

test "a process is readable for good once it has ended, and its status can be had again and again" {
    // As FreeBSD finds processes that have ended, and as macOS does not.
    for ([_]bool{ false, true }) |hides_ended| {
        model.hides_ended = hides_ended;
        defer model.hides_ended = false;
        const pid = try fork(7);
        try awaitEnd(pid);
        var exit: abi.ProcessStatus = .{};
        const process = sources.processOpen(pid, &exit);
        try expect(process >= 0);
        defer _ = model.close(process);
        const subject: Subject = try .init(.kqueue);
        defer subject.deinit();
        const handle = try subject.register(process, read);
        for (0..2) |_| {
            try subject.expectOnly(handle, read);
            try expectEqual(0, sources.processStatus(process, &exit));
            try expectEqual(abi.ProcessStatus{ .known = 1, .exit_code = 7 }, exit);
        }
        try reap(pid);
        try subject.expectOnly(handle, read);
    }
}

test "of a process that runs nothing is known, then the signal that ended it" {
    const pid: i32 = @bitCast(@as(u32, @truncate(linux.fork())));
    if (pid == 0) while (true) {
        _ = linux.pause();
    };
    var exit: abi.ProcessStatus = .{};
    const process = sources.processOpen(pid, &exit);
    defer _ = model.close(process);
    try expectEqual(0, sources.processStatus(process, &exit));
    try expectEqual(abi.ProcessStatus{}, exit);
    _ = linux.kill(pid, .KILL);
    try awaitEnd(pid);
    try expectEqual(0, sources.processStatus(process, &exit));
    try expectEqual(abi.ProcessStatus{ .known = 1, .signal = @intFromEnum(linux.SIG.KILL) }, exit);
    try reap(pid);
}

test "numbers that no process has are an errno, and leak no queue" {
    const before = try support.duplicate(0, 0);
    _ = os.close(before);
    var exit: abi.ProcessStatus = .{};
    for ([_]i32{ 0, -1, std.math.minInt(i32) }) |pid| try expectErrno(.INVAL, sources.processOpen(pid, &exit));
    try expectErrno(.SRCH, sources.processOpen(std.math.maxInt(i32), &exit));
    const after = try support.duplicate(0, 0);
    _ = os.close(after);
    try expectEqual(before, after);
}

/// A queue of the model's, to try the model itself.
const Trial = struct {
    queue: i32,

    fn init() Trial {
        return .{ .queue = model.kqueue() };
    }

    fn deinit(self: Trial) void {
        _ = model.close(self.queue);
    }

    fn change(self: Trial, ident: usize, filter: i16, flags: u16, fflags: u32) i32 {
        return model.kevent(self.queue, &.{of(ident, filter, flags, fflags)}, &.{}, null);
    }

    fn of(ident: usize, filter: i16, flags: u16, fflags: u32) Kevent {
        return .{ .ident = ident, .filter = filter, .flags = flags, .fflags = fflags, .data = 5, .udata = 1 };
    }

    fn take(self: Trial, events: []Kevent) ![]const Kevent {
        const count = model.kevent(self.queue, &.{}, events, &os.timespec(0));
        try expect(count >= 0);
        return events[0..@intCast(count)];
    }
};

test "model: a knote is disabled and enabled, by hand and by EV_DISPATCH, and EV_ONESHOT removes it" {
    const trial: Trial = .init();
    defer trial.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    try pipe.put();
    const ident: usize = @intCast(pipe.reader);
    var events: [4]Kevent = undefined;
    try expectErrno(.NOENT, trial.change(ident, EVFILT.READ, EV.ENABLE, 0));
    try expectEqual(0, trial.change(ident, EVFILT.READ, EV.ADD | EV.DISABLE, 0));
    try expectEqual(0, (try trial.take(&events)).len);
    try expectEqual(0, trial.change(ident, EVFILT.READ, EV.ENABLE, 0));
    for (0..2) |_| try expectEqual(1, (try trial.take(&events)).len);
    try expectEqual(1, events[0].data); // bytes
    try expectEqual(0, trial.change(ident, EVFILT.READ, EV.DELETE, 0));
    for ([_]u16{ EV.DISPATCH, EV.ONESHOT }) |flag| {
        try expectEqual(0, trial.change(ident, EVFILT.READ, EV.ADD | flag, 0));
        try expectEqual(1, (try trial.take(&events)).len);
        try expectEqual(0, (try trial.take(&events)).len);
        const again = trial.change(ident, EVFILT.READ, EV.ENABLE, 0);
        if (flag == EV.ONESHOT) try expectErrno(.NOENT, again) else {
            try expectEqual(1, (try trial.take(&events)).len);
            try expectEqual(0, trial.change(ident, EVFILT.READ, EV.DELETE, 0));
        }
    }
}

test "model: an error takes the place of an event, and without one is the result" {
    const trial: Trial = .init();
    defer trial.deinit();
    const pipe: Pipe = try .init();
    defer pipe.deinit();
    const writer: usize = @intCast(pipe.writer);
    var events: [2]Kevent = undefined;
    const changes = [_]Kevent{
        Trial.of(writer, EVFILT.WRITE, EV.ADD, 0),
        Trial.of(writer, EVFILT.READ, EV.DELETE, 0),
        Trial.of(1 << 20, EVFILT.READ, EV.ADD, 0),
    };
    try expectEqual(2, model.kevent(trial.queue, &changes, &events, null));
    for (events, [_]os.Errno{ .NOENT, .BADF }) |event, errno| {
        try expectEqual(EV.ERROR, event.flags);
        try expectEqual(@intFromEnum(errno), event.data);
    }
    try expectErrno(.BADF, model.kevent(trial.queue, &changes, events[0..1], null));
    try expectEqual(1, (try trial.take(&events)).len);
    const receipt = Trial.of(writer, EVFILT.WRITE, EV.ADD | EV.RECEIPT, 0);
    try expectEqual(1, model.kevent(trial.queue, &.{receipt}, &events, null));
    try expectEqual(0, events[0].data);
    try expectErrno(.INVAL, model.kevent(trial.queue, &.{}, &events, &.{ .sec = 1 << 32, .nsec = 0 }));
}

test "model: a user event with EV_CLEAR is reported once, and a timer counts its rounds" {
    const trial: Trial = .init();
    defer trial.deinit();
    var events: [2]Kevent = undefined;
    try expectEqual(0, trial.change(1, EVFILT.USER, EV.ADD | EV.CLEAR, 0));
    try expectEqual(0, trial.change(1, EVFILT.USER, EV.CLEAR, NOTE.TRIGGER));
    try expectEqual(0, (try trial.take(&events)).len); // taken back by its own EV_CLEAR
    try expectEqual(0, trial.change(1, EVFILT.USER, 0, NOTE.TRIGGER));
    try expectEqual(1, (try trial.take(&events)).len);
    try expectEqual(0, (try trial.take(&events)).len);
    try expectEqual(0, trial.change(2, EVFILT.TIMER, EV.ADD, 0)); // every 5 ms
    for (0..2) |_| {
        try expectEqual(1, model.kevent(trial.queue, &.{}, &events, null));
        try expectEqual(EVFILT.TIMER, events[0].filter);
        try expect(events[0].data >= 1);
    }
}
