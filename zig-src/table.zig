//! The handle table: which descriptor a handle names, and whether the handle is still good.

const std = @import("std");
const abi = @import("abi.zig");

/// Pages straight from the kernel: the table is one growing array, and no other allocator of std is
/// known to work in a library that links no libc.
const allocator = std.heap.page_allocator;

pub const Entry = struct {
    descriptor: i32,
    /// This library opened the descriptor, and nobody else has been given it since.
    is_own: bool,
    /// What the backend watches for; 0 while it does not watch.
    interest: u32,
    generation: u32,
    /// While the place is free, the next free one.
    next_free: u32,

    const free_descriptor = -1;

    pub fn isRegistered(self: Entry) bool {
        return self.descriptor != free_descriptor;
    }
};

pub const Table = struct {
    entries: []Entry = &.{},
    first_free: u32 = none,

    const none = std.math.maxInt(u32);
    const initial_capacity = 256;

    pub fn deinit(self: *Table) void {
        allocator.free(self.entries);
        self.* = .{};
    }

    pub fn add(self: *Table, descriptor: i32, is_own: bool) error{OutOfMemory}!abi.Handle {
        if (self.first_free == none) try self.grow();
        const index = self.first_free;
        const entry = &self.entries[index];
        self.first_free = entry.next_free;
        entry.descriptor = descriptor;
        entry.is_own = is_own;
        entry.interest = 0;
        return .{ .index = index, .generation = entry.generation };
    }

    /// The entry that the handle names; null when it is stale or was never given out.
    pub fn get(self: *Table, index: u32, generation: u32) ?*Entry {
        if (index >= self.entries.len) return null;
        const entry = &self.entries[index];
        if (entry.generation != generation or !entry.isRegistered()) return null;
        return entry;
    }

    pub fn remove(self: *Table, index: u32) void {
        const entry = &self.entries[index];
        std.debug.assert(entry.isRegistered());
        entry.descriptor = Entry.free_descriptor;
        entry.interest = 0;
        entry.generation = nextGeneration(entry.generation);
        entry.next_free = self.first_free;
        self.first_free = index;
    }

    /// Stops watching a descriptor that turned out to be closed. Its waiters learn of it by the event
    /// that this returns.
    pub fn disarmDead(self: *Table, index: usize) abi.Event {
        const entry = &self.entries[index];
        std.debug.assert(entry.interest != 0);
        defer entry.interest = 0;
        return .{
            .index = @intCast(index),
            .generation = entry.generation,
            .readiness = entry.interest | abi.Readiness.failed,
        };
    }

    /// How many entries the backend watches.
    pub fn watchedCount(self: *const Table) usize {
        var count: usize = 0;
        for (self.entries) |entry| count += @intFromBool(entry.interest != 0);
        return count;
    }

    fn grow(self: *Table) error{OutOfMemory}!void {
        const old_capacity = self.entries.len;
        const capacity = @max(initial_capacity, old_capacity * 2);
        if (capacity > none) return error.OutOfMemory;
        self.entries = try allocator.realloc(self.entries, capacity);
        for (self.entries[old_capacity..], old_capacity + 1..) |*entry, next| {
            const next_free: u32 = if (next < capacity) @intCast(next) else none;
            entry.* = .{
                .descriptor = Entry.free_descriptor,
                .is_own = false,
                .interest = 0,
                .generation = 1,
                .next_free = next_free,
            };
        }
        self.first_free = @intCast(old_capacity);
    }
};

/// 0 is left out, so that a handle in zeroed memory is stale whatever its index.
pub fn nextGeneration(generation: u32) u32 {
    return @max(1, generation +% 1);
}

test nextGeneration {
    try std.testing.expectEqual(2, nextGeneration(1));
    try std.testing.expectEqual(1, nextGeneration(std.math.maxInt(u32)));
}
