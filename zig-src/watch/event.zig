//! Events: what any thread of the process may trigger and one thread then wakes up by. Each is a descriptor in a
//! table of the process, named by a handle that any thread can hold, and kept open by references.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const nextGeneration = @import("../table.zig").nextGeneration;
const Pool = @import("pool.zig").Pool;

/// Keeps an event open. It belongs to one JavaScript object and goes with it.
pub const Reference = struct {
    handle: abi.Handle,
    slot: *Slot,
    is_released: std.atomic.Value(bool) = .init(false),

    var pool: Pool(Reference) = .{};

    /// Of no event yet; null when there is no memory.
    pub fn create() ?*Reference {
        const self = pool.create() catch return null;
        self.* = .{ .handle = undefined, .slot = undefined, .is_released = .init(true) };
        return self;
    }

    /// Makes an event and refers to it.
    pub fn openNew(self: *Reference, handle: *abi.Handle) i32 {
        const descriptor = os.eventCreate();
        if (descriptor < 0) return descriptor;
        self.* = table.add(descriptor) catch {
            _ = os.close(descriptor);
            return os.failure(.NOMEM);
        };
        handle.* = self.handle;
        return 0;
    }

    /// Refers to an event that there is; `stale_handle` when it is gone.
    pub fn open(self: *Reference, handle: abi.Handle) i32 {
        const slot = table.acquire(handle) orelse return @intFromEnum(abi.Code.stale_handle);
        self.* = .{ .handle = handle, .slot = slot };
        return 0;
    }

    /// Idempotent. The eventfd closes with the last reference.
    pub fn release(self: *Reference) void {
        if (self.is_released.swap(true, .acq_rel)) return;
        table.release(self.slot, self.handle.index);
    }

    pub fn free(self: *Reference) void {
        self.release();
        pool.destroy(self);
    }
};

pub fn descriptorOf(handle: abi.Handle) i32 {
    const slot = table.acquire(handle) orelse return @intFromEnum(abi.Code.stale_handle);
    defer table.release(slot, handle.index);
    return slot.descriptor;
}

/// May be called from any thread. Triggers that nobody has taken yet are one.
pub fn trigger(handle: abi.Handle) i32 {
    // A reference of our own: the descriptor cannot be closed, and its number not be reused, before the write.
    const slot = table.acquire(handle) orelse return @intFromEnum(abi.Code.stale_handle);
    defer table.release(slot, handle.index);
    if (slot.is_rung.swap(true, .acq_rel)) return 0;
    return @min(os.eventRaise(slot.descriptor), 0);
}

/// 1 when this call took a trigger; 0 when there was none, or another thread was quicker.
///
/// The descriptor is read before the flag is cleared. While the flag is set, either the descriptor is raised, or a
/// thread is about to raise it, or one is between these two lines, whose caller then sees what any trigger that
/// found the flag set had to tell. The other way round, the read could take the write of a trigger that came after
/// the flag was cleared; the flag would stay set with nothing raised, and every later trigger be lost.
pub fn take(handle: abi.Handle) i32 {
    const slot = table.acquire(handle) orelse return @intFromEnum(abi.Code.stale_handle);
    defer table.release(slot, handle.index);
    const code = os.eventClear(slot.descriptor);
    if (code == os.failure(.AGAIN)) return 0;
    if (code < 0) return code;
    _ = slot.is_rung.swap(false, .acq_rel);
    return 1;
}

const State = packed struct(u64) {
    references: u32,
    generation: u32,
};

const Slot = struct {
    /// Both in one word, so that a reference is only ever added to the event that is meant. A line of its own, so
    /// that the threads of one event do not slow down those of another.
    state: std.atomic.Value(u64) align(std.atomic.cache_line),
    /// Raised and not taken yet: a further write would tell nothing new.
    is_rung: std.atomic.Value(bool),
    descriptor: i32,
    next_free: u32,
};

/// The events of the process. Slots never move and are never given back to the system, so that a stale handle can
/// be looked up without a lock; the lock is for making and closing events.
const Table = struct {
    lock: os.Lock = .{},
    /// Each twice as large as the one before it.
    chunks: [chunk_count]std.atomic.Value(?[*]Slot) = @splat(.init(null)),
    first_free: u32 = none,
    used_chunks: u5 = 0,

    const none = std.math.maxInt(u32);
    const first_chunk_size = 64;
    /// Two million events, more than a process may have descriptors.
    const chunk_count = 15;

    fn add(self: *Table, descriptor: i32) error{OutOfMemory}!Reference {
        self.lock.lock();
        defer self.lock.unlock();
        if (self.first_free == none) try self.grow();
        const index = self.first_free;
        const slot = self.at(index).?;
        self.first_free = slot.next_free;
        slot.descriptor = descriptor;
        slot.is_rung.store(false, .monotonic);
        var state: State = @bitCast(slot.state.load(.monotonic));
        state.references = 1;
        slot.state.store(@bitCast(state), .release);
        return .{ .handle = .{ .index = index, .generation = state.generation }, .slot = slot };
    }

    /// Adds a reference to the event that is meant; null when it is gone.
    fn acquire(self: *Table, handle: abi.Handle) ?*Slot {
        const slot = self.at(handle.index) orelse return null;
        var word = slot.state.load(.monotonic);
        while (true) {
            var state: State = @bitCast(word);
            if (state.generation != handle.generation or state.references == 0) return null;
            state.references += 1;
            word = slot.state.cmpxchgWeak(word, @bitCast(state), .acquire, .monotonic) orelse return slot;
        }
    }

    fn release(self: *Table, slot: *Slot, index: u32) void {
        const before: State = @bitCast(slot.state.fetchSub(1, .acq_rel));
        std.debug.assert(before.references > 0);
        if (before.references > 1) return;
        // Without references nobody but us can reach the slot before it is in the list again.
        _ = os.close(slot.descriptor);
        const next: State = .{ .references = 0, .generation = nextGeneration(before.generation) };
        slot.state.store(@bitCast(next), .release);
        self.lock.lock();
        defer self.lock.unlock();
        slot.next_free = self.first_free;
        self.first_free = index;
    }

    fn at(self: *Table, index: u32) ?*Slot {
        const place = @as(u64, index) + first_chunk_size;
        const chunk_index = std.math.log2_int(u64, place) - std.math.log2_int(u64, first_chunk_size);
        if (chunk_index >= chunk_count) return null;
        const chunk = self.chunks[chunk_index].load(.acquire) orelse return null;
        return &chunk[@intCast(place - chunkSize(chunk_index))];
    }

    fn grow(self: *Table) error{OutOfMemory}!void {
        if (self.used_chunks == chunk_count) return error.OutOfMemory;
        const size = chunkSize(self.used_chunks);
        const slots = try std.heap.page_allocator.alloc(Slot, size);
        const first_index: u32 = @intCast(size - first_chunk_size);
        for (slots, first_index + 1..) |*slot, next| {
            slot.* = .{
                .state = .init(@bitCast(State{ .references = 0, .generation = 1 })),
                .is_rung = .init(false),
                .descriptor = -1,
                .next_free = if (next < first_index + size) @intCast(next) else none,
            };
        }
        self.chunks[self.used_chunks].store(slots.ptr, .release);
        self.used_chunks += 1;
        self.first_free = first_index;
    }

    /// Also what a place in the chunk, counted from the first slot of all plus one chunk, is less than its own.
    fn chunkSize(chunk_index: u6) usize {
        return @as(usize, first_chunk_size) << chunk_index;
    }
};

var table: Table = .{};
