//! The handle table against a model of it.

const std = @import("std");
const abi = @import("../abi.zig");
const Table = @import("../table.zig").Table;
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;

test "random additions and removals agree with a model" {
    var table: Table = .{};
    defer table.deinit();
    var alive: std.ArrayList(struct { handle: abi.Handle, descriptor: i32 }) = .empty;
    defer alive.deinit(std.testing.allocator);
    var dead: std.ArrayList(abi.Handle) = .empty;
    defer dead.deinit(std.testing.allocator);

    var prng: std.Random.DefaultPrng = .init(std.testing.random_seed);
    const random = prng.random();
    for (0..20_000) |step| {
        // More additions than removals, so that the table grows several times.
        if (alive.items.len == 0 or random.uintLessThan(u32, 10) < 6) {
            const descriptor = random.uintLessThan(u31, 1 << 20);
            const handle = try table.add(descriptor, false);
            try expect(handle.generation != 0);
            try alive.append(std.testing.allocator, .{ .handle = handle, .descriptor = descriptor });
        } else {
            const removed = alive.swapRemove(random.uintLessThan(usize, alive.items.len));
            table.remove(removed.handle.index);
            try dead.append(std.testing.allocator, removed.handle);
        }
        if (step % 1000 != 0) continue;
        for (alive.items) |item| {
            const entry = table.get(item.handle.index, item.handle.generation).?;
            try expectEqual(item.descriptor, entry.descriptor);
        }
        for (dead.items) |handle| try expectEqual(null, table.get(handle.index, handle.generation));
    }
}

test "a place that was never given out has no handle" {
    var table: Table = .{};
    defer table.deinit();
    try expectEqual(null, table.get(0, 0));
    try expectEqual(null, table.get(0, 1));
    const handle = try table.add(7, false);
    try expectEqual(null, table.get(handle.index + 1, 1));
    try expectEqual(null, table.get(std.math.maxInt(u32), 1));
    // The generation that a freed place will have next is not good before the place is given out.
    table.remove(handle.index);
    try expectEqual(null, table.get(handle.index, handle.generation + 1));
}

test "the generation skips 0 when it wraps" {
    var table: Table = .{};
    defer table.deinit();
    const first = try table.add(7, false);
    table.entries[first.index].generation = std.math.maxInt(u32);
    table.remove(first.index);
    try expectEqual(abi.Handle{ .index = first.index, .generation = 1 }, try table.add(7, false));
}
