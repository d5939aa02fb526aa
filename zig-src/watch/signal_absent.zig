//! The signals of a system that has none to watch.

const abi = @import("../abi.zig");

pub const Watch = struct {
    descriptor: i32,

    pub fn open(_: i32, code: *i32) ?*Watch {
        code.* = @intFromEnum(abi.Code.not_supported);
        return null;
    }

    pub fn take(_: *const Watch) i32 {
        unreachable;
    }

    pub fn close(_: *Watch) void {
        unreachable;
    }

    pub fn free(_: *Watch) void {
        unreachable;
    }
};
