//! The backend of a system that has none of that name: it cannot be made.

const abi = @import("../abi.zig");
const Table = @import("../table.zig").Table;
const Change = @import("../selector.zig").Change;

pub const Absent = struct {
    pub fn init(_: *Absent) i32 {
        return @intFromEnum(abi.Code.unknown_backend);
    }

    pub fn deinit(_: *Absent) void {
        unreachable;
    }

    pub fn descriptor(_: *Absent) i32 {
        unreachable;
    }

    pub fn setInterest(_: *Absent, _: Change) i32 {
        unreachable;
    }

    pub fn wait(_: *Absent, _: *Table, _: []abi.Event, _: ?u64) i32 {
        unreachable;
    }
};
