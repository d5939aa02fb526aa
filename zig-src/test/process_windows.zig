//! Processes of Windows that end, and what is known of how.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const Process = @import("../watch/process.zig").Process;
const win32 = @import("../os/windows/win32.zig");
const support = @import("support.zig");
const Subject = support.Subject;
const expectEqual = std.testing.expectEqual;

/// A child that waits for a line, and then exits with 7.
fn spawn() !std.process.Child {
    const command = "set /p line= & exit 7";
    return std.process.spawn(std.testing.io, .{
        .argv = &.{ "cmd.exe", "/d", "/c", command },
        .stdin = .pipe,
        .stdout = .ignore,
        .stderr = .ignore,
    });
}

fn pidOf(child: std.process.Child) i32 {
    return @intCast(win32.GetProcessId(child.id.?));
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

test "a process is readable once it has ended, and its status is known" {
    const subject: Subject = try .init(.iocp);
    defer subject.deinit();
    var child = try spawn();
    const pid = pidOf(child);
    const process = try open(pid);
    defer process.free();
    const handle = try subject.register(process.descriptor, support.read);
    var exit: abi.ProcessStatus = undefined;
    try expectEqual(0, process.status(&exit));
    try expectEqual(abi.ProcessStatus{}, exit);
    try subject.expectNothing();

    child.stdin.?.close(std.testing.io);
    child.stdin = null;
    for (0..2) |_| {
        const events = try subject.wait(5000);
        try expectEqual(1, events.len);
        try expectEqual(handle.index, events[0].index);
        try expectEqual(0, process.status(&exit));
        try expectEqual(abi.ProcessStatus{ .known = 1, .exit_code = 7 }, exit);
    }
    try subject.unregister(handle);
    const late = try open(pid);
    defer late.free();
    try expectEqual(0, late.status(&exit));
    try expectEqual(7, exit.exit_code);
    try expectEqual(std.process.Child.Term{ .exited = 7 }, try child.wait(std.testing.io));
}

test "numbers that no process has are an errno" {
    for ([_]i32{ 0, -1, std.math.minInt(i32) }) |pid| try expectNoProcess(.INVAL, pid);
    try expectNoProcess(.SRCH, std.math.maxInt(i32));
}
