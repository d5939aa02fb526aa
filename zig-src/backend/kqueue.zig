//! kqueue(2), level-triggered: a knote per direction of a descriptor, and one event of ours for both.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const kevent_file = @import("../os/kevent.zig");
const Table = @import("../table.zig").Table;
const Change = @import("../selector.zig").Change;
const Kevent = kevent_file.Kevent;
const EV = kevent_file.EV;
const EVFILT = kevent_file.EVFILT;
const NOTE = kevent_file.NOTE;

const allocator = std.heap.page_allocator;
const initial_capacity = 256;

/// In the place of a handle, and never one: what becomes of the change concerns nobody.
const nobody: u64 = 0;

/// `kernel` has kqueue, kevent and close: the system's, or a model of them.
pub fn Kqueue(comptime kernel: type) type {
    return struct {
        queue: i32 = -1,
        kernel_events: []Kevent = &.{},
        /// Where among the events the last one of a place in the table went; outdated, or never written, unless that
        /// event says the same.
        places: []u32 = &.{},
        /// What the kernel has not been told yet. The next wait tells it. Never grows.
        changes: std.ArrayList(Kevent) = .empty,
        /// Somebody may be waiting for the queue itself, so the kernel must always know all.
        is_watched: bool = false,

        const Self = @This();

        pub fn init(self: *Self) i32 {
            self.* = .{};
            const code = self.open();
            if (code < 0) self.deinit();
            return code;
        }

        fn open(self: *Self) i32 {
            self.kernel_events = allocator.alloc(Kevent, initial_capacity) catch return os.failure(.NOMEM);
            self.changes.ensureTotalCapacityPrecise(allocator, initial_capacity) catch return os.failure(.NOMEM);
            self.queue = kernel.kqueue();
            return @min(self.queue, 0);
        }

        pub fn deinit(self: *Self) void {
            if (self.queue >= 0) _ = kernel.close(self.queue);
            allocator.free(self.kernel_events);
            allocator.free(self.places);
            self.changes.deinit(allocator);
        }

        pub fn descriptor(self: *Self) i32 {
            self.is_watched = true;
            _ = self.flush();
            if (self.changes.items.len > 0) self.becomeReadable();
            return self.queue;
        }

        /// For whoever waits for the queue itself: only the next wait tells what the kernel has refused. The wait that
        /// finds this event ends it, as every event that nobody asked for.
        fn becomeReadable(self: *Self) void {
            var event = kernelChange(self.queue, EVFILT.USER, EV.ADD, nobody);
            event.fflags = NOTE.TRIGGER;
            _ = kernel.kevent(self.queue, &.{event}, &.{}, null);
        }

        /// Changes of our own descriptors wait for the next call of the kernel, which reports as an event what it
        /// refuses. Others may have been closed, or be nothing to wait for; their callers are told at once.
        pub fn setInterest(self: *Self, change: Change) i32 {
            var buffer: [2]Kevent = undefined;
            const can_wait = change.is_own and !self.is_watched;
            const changes = kernelChanges(change, !can_wait, &buffer);
            if (can_wait) return self.enqueue(changes);
            // kqueue would take a file, and call it ready for ever.
            const unfit = if (change.is_own or change.after == 0) 0 else os.checkWaitable(change.descriptor);
            // What was watched is gone when its number names such a file by now.
            if (unfit < 0) return if (change.before == 0) unfit else os.failure(.BADF);
            const failed = self.flush();
            return if (failed < 0) failed else self.submit(changes);
        }

        pub fn wait(self: *Self, table: *Table, events: []abi.Event, timeout_ns: ?u64) i32 {
            self.reservePlaces(table.entries.len) catch return os.failure(.NOMEM);
            const room = self.kernel_events[0..@min(self.kernel_events.len, events.len)];
            const changes = self.nextChanges(room.len);
            const is_last = changes.len == self.changes.items.len;
            const timeout = if (!is_last) os.timespec(0) else if (timeout_ns) |ns| os.timespec(ns) else null;
            const ready = kernel.kevent(self.queue, changes, room, if (timeout) |*t| t else null);
            // Those of an interrupted wait were made; making them again changes nothing.
            if (ready >= 0) self.changes.replaceRangeAssumeCapacity(0, changes.len, &.{});
            if (ready <= 0) return ready;

            var count: usize = 0;
            for (room[0..@intCast(ready)]) |*kernel_event| self.collect(table, events, &count, kernel_event);
            if (ready == self.kernel_events.len) self.grow();
            return @intCast(count);
        }

        /// As many as there may be errors of them among the events. The others, if any are left, have been refused once
        /// already.
        fn nextChanges(self: *Self, room: usize) []const Kevent {
            if (self.changes.items.len > room) _ = self.flush();
            return self.changes.items[0..@min(self.changes.items.len, room)];
        }

        fn collect(self: *Self, table: *Table, events: []abi.Event, count: *usize, kernel_event: *const Kevent) void {
            const handle: abi.Handle = @bitCast(kernel_event.udata);
            const interest = if (table.get(handle.index, handle.generation)) |entry| entry.interest else 0;
            if (kernel_event.flags & EV.ERROR != 0) {
                // Without an errno it is a receipt, of an exchange that failed as a whole.
                if (interest == 0 or kernel_event.data == 0) return;
                events[count.*] = table.disarmDead(handle.index);
                count.* += 1;
            } else if (interest & directionOf(kernel_event.filter) == 0) {
                self.discard(kernel_event);
            } else {
                self.merge(events, count, handle, readiness(kernel_event));
            }
        }

        /// Its descriptor was not closed when it was unregistered as closing, or its interest ended with an error of
        /// the other direction. With no room for the change the event comes again.
        fn discard(self: *Self, kernel_event: *const Kevent) void {
            const number: i32 = @intCast(kernel_event.ident);
            self.changes.appendBounded(kernelChange(number, kernel_event.filter, EV.DELETE, nobody)) catch {};
        }

        fn merge(self: *Self, events: []abi.Event, count: *usize, handle: abi.Handle, bits: u32) void {
            const place = self.places[handle.index];
            if (place < count.* and events[place].index == handle.index) {
                events[place].readiness |= bits;
                return;
            }
            self.places[handle.index] = @intCast(count.*);
            events[count.*] = .{ .index = handle.index, .generation = handle.generation, .readiness = bits };
            count.* += 1;
        }

        fn enqueue(self: *Self, changes: []const Kevent) i32 {
            self.changes.appendSliceBounded(changes) catch {
                const failed = self.flush();
                if (failed < 0) return failed;
                self.changes.appendSliceBounded(changes) catch return os.failure(.NOMEM);
            };
            return 0;
        }

        /// Tells the kernel what is queued. What it refuses to add stays in the queue, for the next wait to report.
        fn flush(self: *Self) i32 {
            const changes = self.changes.items;
            const failed = if (changes.len == 0) 0 else self.exchange(changes);
            if (failed < 0) return failed;
            var kept: usize = 0;
            for (changes, self.kernel_events[0..changes.len]) |change, receipt| {
                if (receipt.data == 0 or change.udata == nobody) continue;
                changes[kept] = change;
                changes[kept].flags = EV.ADD;
                kept += 1;
            }
            self.changes.shrinkRetainingCapacity(kept);
            return 0;
        }

        /// Tells the kernel, and returns its first refusal.
        fn submit(self: *Self, changes: []Kevent) i32 {
            const failed = self.exchange(changes);
            if (failed < 0) return failed;
            for (self.kernel_events[0..changes.len]) |receipt| {
                if (receipt.data == 0) continue;
                const code: i32 = @intCast(-receipt.data);
                // The number is open, but names another file than the one that was added: ours is gone.
                return if (code == os.failure(.NOENT)) os.failure(.BADF) else code;
            }
            return 0;
        }

        /// Makes the changes without waiting. Whether each was made is in `kernel_events`, in the same order.
        fn exchange(self: *Self, changes: []Kevent) i32 {
            for (changes) |*change| change.flags |= EV.RECEIPT;
            const count = kernel.kevent(self.queue, changes, self.kernel_events[0..changes.len], null);
            std.debug.assert(count < 0 or count == changes.len);
            return @min(count, 0);
        }

        fn reservePlaces(self: *Self, total: usize) error{OutOfMemory}!void {
            if (self.places.len < total) self.places = try allocator.realloc(self.places, total);
        }

        /// The last wait filled the array, so there may be more. Without memory the old size goes on to do.
        fn grow(self: *Self) void {
            const capacity = @min(self.kernel_events.len * 2, abi.event_capacity);
            const larger = allocator.alloc(Kevent, capacity) catch return;
            allocator.free(self.kernel_events);
            self.kernel_events = larger;
        }
    };
}

/// `asks`: also about what stays as it is. To enable it again changes nothing, but is refused when the knote is gone.
fn kernelChanges(change: Change, asks: bool, buffer: *[2]Kevent) []Kevent {
    var count: usize = 0;
    for ([_]i16{ EVFILT.READ, EVFILT.WRITE }) |filter| {
        const direction = directionOf(filter);
        const was_wanted = change.before & direction != 0;
        const is_wanted = change.after & direction != 0;
        if (was_wanted == is_wanted and !(is_wanted and asks)) continue;
        buffer[count] = if (is_wanted)
            kernelChange(change.descriptor, filter, if (was_wanted) EV.ENABLE else EV.ADD, @bitCast(change.handle))
        else
            kernelChange(change.descriptor, filter, EV.DELETE, nobody);
        count += 1;
    }
    return buffer[0..count];
}

fn kernelChange(descriptor: i32, filter: i16, flags: u16, udata: u64) Kevent {
    const ident: usize = @intCast(descriptor);
    return .{ .ident = ident, .filter = filter, .flags = flags, .fflags = 0, .data = 0, .udata = udata };
}

fn directionOf(filter: i16) u32 {
    return if (filter == EVFILT.READ) abi.Readiness.read else abi.Readiness.write;
}

/// The end of what can be read is only that, unless an error was its cause; where nothing can be written any more,
/// the descriptor has failed, as epoll says it too.
fn readiness(kernel_event: *const Kevent) u32 {
    const is_end = kernel_event.flags & EV.EOF != 0;
    const has_failed = is_end and (kernel_event.filter == EVFILT.WRITE or kernel_event.fflags != 0);
    return directionOf(kernel_event.filter) | (if (has_failed) abi.Readiness.failed else 0);
}
