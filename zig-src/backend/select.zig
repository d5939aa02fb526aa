//! pselect(2), with bitmaps as large as the highest descriptor needs; FD_SETSIZE does not bind the kernel. Linux's tells
//! a writer of an error, but not of a hang-up.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const Table = @import("../table.zig").Table;
const Change = @import("../selector.zig").Change;

const allocator = std.heap.page_allocator;
const word_bits = @bitSizeOf(usize);

pub const Select = struct {
    /// Room for the set of readers, then for the set of writers.
    words: []usize = &.{},
    /// Where the next collection begins: behind the last event of a full one, so that nobody starves.
    first_index: usize = 0,

    pub fn init(self: *Select) i32 {
        self.* = .{};
        return 0;
    }

    pub fn deinit(self: *Select) void {
        allocator.free(self.words);
    }

    pub fn descriptor(_: *Select) i32 {
        return -1;
    }

    /// Nothing to tell the kernel before the wait: this only refuses what cannot be waited for.
    pub fn setInterest(_: *Select, change: Change) i32 {
        const failed = if (change.after == 0) os.checkOpen(change.descriptor) else os.checkWaitable(change.descriptor);
        // The number may name something else by now, of a kind that cannot be watched.
        return if (failed < 0 and change.before != 0) os.failure(.BADF) else failed;
    }

    pub fn wait(self: *Select, table: *Table, events: []abi.Event, timeout_ns: ?u64) i32 {
        const limit = descriptorLimit(table);
        self.reserve(limit) catch return os.failure(.NOMEM);
        self.fill(table);
        var timeout = if (timeout_ns) |ns| os.timespec(ns) else null;
        const ready = os.pselect(limit, self.readers().ptr, self.writers().ptr, if (timeout) |*t| t else null);
        if (ready == os.failure(.BADF)) return reportDead(table, events);
        return if (ready <= 0) ready else self.collect(table, events);
    }

    fn readers(self: *Select) []usize {
        return self.words[0 .. self.words.len / 2];
    }

    fn writers(self: *Select) []usize {
        return self.words[self.words.len / 2 ..];
    }

    fn reserve(self: *Select, limit: usize) error{OutOfMemory}!void {
        const words = 2 * (limit / word_bits + 1);
        if (words <= self.words.len) return;
        const larger = try allocator.alloc(usize, @max(words, 2 * self.words.len));
        allocator.free(self.words);
        self.words = larger;
    }

    fn fill(self: *Select, table: *const Table) void {
        @memset(self.words, 0);
        for (table.entries) |entry| {
            if (entry.interest & abi.Readiness.read != 0) setBit(self.readers(), entry.descriptor);
            if (entry.interest & abi.Readiness.write != 0) setBit(self.writers(), entry.descriptor);
        }
    }

    fn collect(self: *Select, table: *const Table, events: []abi.Event) i32 {
        const total = table.entries.len;
        const first_index = self.first_index;
        var count: usize = 0;
        for (0..total) |offset| {
            const index = (first_index + offset) % total;
            const entry = table.entries[index];
            if (entry.interest == 0) continue;
            const ready = entry.interest & self.readiness(entry.descriptor);
            if (ready == 0) continue;
            if (count == events.len) {
                self.first_index = index;
                break;
            }
            events[count] = .{ .index = @intCast(index), .generation = entry.generation, .readiness = ready };
            count += 1;
        }
        return @intCast(count);
    }

    fn readiness(self: *Select, number: i32) u32 {
        var bits: u32 = 0;
        if (hasBit(self.readers(), number)) bits |= abi.Readiness.read;
        if (hasBit(self.writers(), number)) bits |= abi.Readiness.write;
        return bits;
    }
};

/// One above the highest descriptor that is watched.
fn descriptorLimit(table: *const Table) usize {
    var limit: usize = 0;
    for (table.entries) |entry| {
        if (entry.interest != 0) limit = @max(limit, @as(usize, @intCast(entry.descriptor)) + 1);
    }
    return limit;
}

/// pselect names no culprit. Every dead descriptor is reported once and then watched no more: else
/// the loop would fail, or spin, until its owner unregisters it.
fn reportDead(table: *Table, events: []abi.Event) i32 {
    var count: usize = 0;
    for (table.entries, 0..) |entry, index| {
        if (count == events.len) break;
        if (entry.interest == 0 or os.checkOpen(entry.descriptor) != os.failure(.BADF)) continue;
        events[count] = table.disarmDead(index);
        count += 1;
    }
    return @intCast(count);
}

fn setBit(words: []usize, number: i32) void {
    const bit: usize = @intCast(number);
    words[bit / word_bits] |= @as(usize, 1) << @intCast(bit % word_bits);
}

fn hasBit(words: []const usize, number: i32) bool {
    const bit: usize = @intCast(number);
    return words[bit / word_bits] >> @intCast(bit % word_bits) & 1 != 0;
}
