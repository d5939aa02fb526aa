//! The signals of a system that has none to watch.

const abi = @import("../abi.zig");

pub const Watch = struct {
    descriptor: i32,

    var none: Watch = .{ .descriptor = -1 };

    pub fn create() ?*Watch {
        return &none;
    }

    pub fn open(_: *Watch, _: i32) i32 {
        return @intFromEnum(abi.Code.not_supported);
    }

    pub fn take(_: *const Watch) i32 {
        unreachable;
    }

    pub fn close(_: *Watch) void {}

    pub fn free(_: *Watch) void {}
};
