//! Processes that end, and what is known of how.

const std = @import("std");
const linux = std.os.linux;
const abi = @import("../abi.zig");
const os = @import("../os/linux.zig");
const Process = @import("../watch/process.zig").Process;
const support = @import("support.zig");
const Subject = support.Subject;
const expectEqual = std.testing.expectEqual;

/// A child that waits for a byte, or the end, of the pipe and then exits with `exit_code`.
fn fork(pipe: support.Pipe, exit_code: i32) !i32 {
    const pid: i32 = @bitCast(@as(u32, @truncate(linux.fork())));
    if (pid < 0) return error.NoProcess;
    if (pid > 0) return pid;
    _ = linux.close(pipe.writer);
    var ready = [_]linux.pollfd{.{ .fd = pipe.reader, .events = linux.POLL.IN, .revents = 0 }};
    _ = linux.poll(&ready, ready.len, -1);
    linux.exit_group(exit_code);
}

fn reap(pid: i32) !u32 {
    var status: u32 = undefined;
    try expectEqual(@as(usize, @intCast(pid)), linux.wait4(pid, @ptrCast(&status), 0, null));
    return status;
}

fn open(pid: i32) !*Process {
    const process = Process.create() orelse return error.NoProcess;
    try expectEqual(0, process.open(pid));
    return process;
}

fn expectNoProcess(errno: os.Errno, pid: i32) !void {
    const process = Process.create() orelse return error.NoProcess;
    defer process.free();
    try support.expectErrno(errno, process.open(pid));
}

test "a process is readable once it has ended, and its status is left to its parent" {
    const subject: Subject = try .init(.epoll);
    defer subject.deinit();
    const pipe: support.Pipe = try .init();
    defer pipe.deinit();
    const pid = try fork(pipe, 7);
    const process = try open(pid);
    defer process.free();
    const handle = try subject.register(process.descriptor, support.read);
    var exit: abi.ProcessStatus = undefined;
    try expectEqual(0, process.status(&exit));
    try expectEqual(abi.ProcessStatus{}, exit);
    try subject.expectNothing();

    try pipe.put();
    const events = try subject.wait(2000);
    try expectEqual(1, events.len);
    try expectEqual(handle.index, events[0].index);
    for (0..2) |_| {
        try expectEqual(0, process.status(&exit));
        try expectEqual(abi.ProcessStatus{ .known = 1, .exit_code = 7 }, exit);
    }
    try subject.unregister(handle);
    try expectEqual(7, linux.W.EXITSTATUS(try reap(pid)));
}

test "a process that a signal ended" {
    const pipe: support.Pipe = try .init();
    defer pipe.deinit();
    const pid = try fork(pipe, 0);
    const process = try open(pid);
    defer process.free();
    _ = linux.kill(pid, .KILL);
    var ready = [_]linux.pollfd{.{ .fd = process.descriptor, .events = linux.POLL.IN, .revents = 0 }};
    try expectEqual(1, linux.poll(&ready, ready.len, 2000));
    var exit: abi.ProcessStatus = undefined;
    try expectEqual(0, process.status(&exit));
    try expectEqual(abi.ProcessStatus{ .known = 1, .signal = @intFromEnum(linux.SIG.KILL) }, exit);
    _ = try reap(pid);
}

test "of a process that has been waited for, the kernel may still know the status" {
    const pipe: support.Pipe = try .init();
    defer pipe.deinit();
    const pid = try fork(pipe, 9);
    const process = try open(pid);
    defer process.free();
    try pipe.put();
    _ = try reap(pid);
    var exit: abi.ProcessStatus = undefined;
    try expectEqual(0, process.status(&exit));
    if (exit.known == 0) return error.SkipZigTest; // before Linux 6.15
    try expectEqual(abi.ProcessStatus{ .known = 1, .exit_code = 9 }, exit);
    try expectNoProcess(.SRCH, pid);
}

test "a process that is no child" {
    const parent = try open(linux.getppid());
    defer parent.free();
    var exit: abi.ProcessStatus = undefined;
    try expectEqual(0, parent.status(&exit));
    try expectEqual(abi.ProcessStatus{}, exit);
    parent.close();
    parent.close();
}

test "numbers that no process has are an errno" {
    for ([_]i32{ 0, -1, std.math.minInt(i32) }) |pid| try expectNoProcess(.INVAL, pid);
    try expectNoProcess(.SRCH, std.math.maxInt(i32));
}
