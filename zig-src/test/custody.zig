//! Descriptors that belong to nobody for a moment.

const std = @import("std");
const os = @import("../os.zig").os;
const Custody = @import("../custody.zig").Custody;
const support = @import("support.zig");
const Pipe = support.Pipe;
const expectEqual = std.testing.expectEqual;

test "what is held is closed, and what was released stays open" {
    const pipe: Pipe = try .init();
    defer _ = os.close(pipe.writer);
    const custody = Custody.create() orelse return error.NoCustody;
    try expectEqual(pipe.reader, custody.hold(pipe.reader));
    try expectEqual(pipe.writer, custody.hold(pipe.writer));
    custody.release(pipe.writer);
    custody.free();
    try support.expectErrno(.BADF, os.checkOpen(pipe.reader));
    try expectEqual(0, os.checkOpen(pipe.writer));
}

test "a failure is passed on and not held" {
    const custody = Custody.create() orelse return error.NoCustody;
    defer custody.free();
    try expectEqual(-9, custody.hold(-9));
    custody.release(-9);
}

test "more than it can hold are left alone" {
    const custody = Custody.create() orelse return error.NoCustody;
    var pipes: [custody.held.len]Pipe = undefined;
    for (&pipes) |*pipe| {
        pipe.* = try .init();
        _ = custody.hold(pipe.reader);
        _ = custody.hold(pipe.writer);
    }
    custody.free();
    for (pipes, 0..) |pipe, i| {
        const is_held = i < pipes.len / 2;
        for ([_]i32{ pipe.reader, pipe.writer }) |descriptor| {
            if (!is_held) try expectEqual(0, os.close(descriptor)) else try support.expectErrno(.BADF, os.checkOpen(descriptor));
        }
    }
}
