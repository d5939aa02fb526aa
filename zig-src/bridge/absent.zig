//! In the place of the door-bell on a system that has none yet: it cannot be opened.

const abi = @import("../abi.zig");
const Selector = @import("../selector.zig").Selector;

pub const Bridge = struct {
    host_end: i32 = -1,

    pub fn create() ?*Bridge {
        return null;
    }

    pub fn open(_: *Bridge, _: *Selector) i32 {
        return @intFromEnum(abi.Code.not_supported);
    }

    pub fn arm(_: *Bridge, _: *Selector, _: ?u64) i32 {
        return @intFromEnum(abi.Code.not_supported);
    }

    pub fn close(_: *Bridge) void {}

    pub fn free(_: *Bridge) void {}
};
