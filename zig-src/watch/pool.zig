//! Memory for the small records that JavaScript owns: one at a time, from any thread. `page_allocator` alone would
//! spend a page on each.

const std = @import("std");
const os = @import("../os.zig").os;

pub fn Pool(comptime Record: type) type {
    return struct {
        lock: os.Lock = .{},
        records: std.heap.MemoryPool(Record) = .empty,

        const Self = @This();

        pub fn create(self: *Self) error{OutOfMemory}!*Record {
            self.lock.lock();
            defer self.lock.unlock();
            return self.records.create(std.heap.page_allocator);
        }

        pub fn destroy(self: *Self, record: *Record) void {
            self.lock.lock();
            defer self.lock.unlock();
            // The pool aligns its records as a pointer, whatever they hold.
            self.records.destroy(@alignCast(record));
        }
    };
}
