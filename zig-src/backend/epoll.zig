//! epoll(7), level-triggered.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const Table = @import("../table.zig").Table;
const Change = @import("../selector.zig").Change;

const allocator = std.heap.page_allocator;
const initial_capacity = 256;

pub const Epoll = struct {
    epoll: i32,
    kernel_events: []os.EpollEvent,
    /// epoll_pwait2 came with Linux 5.11; a kernel or a sandbox without it is asked only once.
    has_precise_wait: bool = true,

    pub fn init(self: *Epoll) i32 {
        const kernel_events = allocator.alloc(os.EpollEvent, initial_capacity) catch return os.failure(.NOMEM);
        const epoll = os.epollCreate();
        if (epoll < 0) {
            allocator.free(kernel_events);
            return epoll;
        }
        self.* = .{ .epoll = epoll, .kernel_events = kernel_events };
        return 0;
    }

    pub fn deinit(self: *Epoll) void {
        _ = os.close(self.epoll);
        allocator.free(self.kernel_events);
    }

    pub fn descriptor(self: *Epoll) i32 {
        return self.epoll;
    }

    pub fn setInterest(self: *Epoll, change: Change) i32 {
        const operation: u32 = if (change.before == 0)
            os.EPOLL.CTL_ADD
        else if (change.after == 0)
            os.EPOLL.CTL_DEL
        else
            os.EPOLL.CTL_MOD;
        var event = kernelEvent(change.handle, change.after);
        var code = os.epollControl(self.epoll, operation, change.descriptor, &event);
        if (operation == os.EPOLL.CTL_ADD and code == os.failure(.EXIST)) {
            // The number was closed behind our back and then duplicated from a descriptor of the same file.
            code = os.epollControl(self.epoll, os.EPOLL.CTL_MOD, change.descriptor, &event);
        }
        if (change.before == 0 or code >= 0) return code;
        // The number is open, but names another file than the one that was added, perhaps of a kind that cannot be
        // watched: ours is gone.
        return switch (code) {
            os.failure(.NOENT), os.failure(.PERM), os.failure(.INVAL) => os.failure(.BADF),
            else => code,
        };
    }

    pub fn wait(self: *Epoll, table: *Table, events: []abi.Event, timeout_ns: ?u64) i32 {
        const room = self.kernel_events[0..@min(self.kernel_events.len, events.len)];
        const ready = self.waitKernel(room, timeout_ns);
        if (ready <= 0) return ready;
        const kernel_events = room[0..@intCast(ready)];

        var count: usize = 0;
        for (kernel_events) |kernel_event| {
            const handle: abi.Handle = @bitCast(kernel_event.data.u64);
            const entry = table.get(handle.index, handle.generation) orelse continue;
            if (entry.interest == 0) continue;
            events[count] = .{
                .index = handle.index,
                .generation = handle.generation,
                .readiness = readiness(kernel_event.events),
            };
            count += 1;
        }
        if (count < kernel_events.len) {
            const code = self.rebuild(table, events, &count);
            if (code < 0 and count == 0) return restOrFail(code);
        }
        if (kernel_events.len == self.kernel_events.len) self.grow();
        return @intCast(count);
    }

    fn waitKernel(self: *Epoll, room: []os.EpollEvent, timeout_ns: ?u64) i32 {
        if (self.has_precise_wait) {
            const timeout = if (timeout_ns) |ns| os.timespec(ns) else null;
            const code = os.epollWaitPrecise(self.epoll, room, if (timeout) |*t| t else null);
            // EPERM is how the system call filters of older containers refuse a call they do not know.
            if (code != os.failure(.NOSYS) and code != os.failure(.PERM)) return code;
            self.has_precise_wait = false;
        }
        return os.epollWaitMilliseconds(self.epoll, room, milliseconds(timeout_ns));
    }

    /// An event came that nobody asked for. Its descriptor was closed before it was unregistered, while
    /// its file lives on under another number; no call can name it any more, and level-triggered it would
    /// come for ever. Only a new epoll set is free of it, which takes the old one's number.
    fn rebuild(self: *Epoll, table: *Table, events: []abi.Event, count: *usize) i32 {
        const fresh = os.epollCreate();
        if (fresh < 0) return fresh;
        defer _ = os.close(fresh);
        for (table.entries, 0..) |*entry, index| {
            if (entry.interest == 0) continue;
            const handle: abi.Handle = .{ .index = @intCast(index), .generation = entry.generation };
            var event = kernelEvent(handle, entry.interest);
            const code = os.epollControl(fresh, os.EPOLL.CTL_ADD, entry.descriptor, &event);
            if (code >= 0) continue;
            const out_of_resources = code == os.failure(.NOMEM) or code == os.failure(.NOSPC);
            // With no room to report it the old set stays, and the next wait tries again.
            if (out_of_resources or count.* == events.len) return code;
            events[count.*] = table.disarmDead(index);
            count.* += 1;
        }
        return os.duplicateOver(fresh, self.epoll);
    }

    /// The last wait filled the array, so there may be more. Without memory the old size goes on to do.
    fn grow(self: *Epoll) void {
        const capacity = @min(self.kernel_events.len * 2, abi.event_capacity);
        const larger = allocator.alloc(os.EpollEvent, capacity) catch return;
        allocator.free(self.kernel_events);
        self.kernel_events = larger;
    }
};

/// Without a descriptor to spare, the stale event comes again at once: a moment's rest, and another wait.
fn restOrFail(code: i32) i32 {
    if (code != os.failure(.MFILE) and code != os.failure(.NFILE)) return code;
    _ = os.poll(&.{}, std.time.ns_per_ms);
    return 0;
}

fn kernelEvent(handle: abi.Handle, interest: u32) os.EpollEvent {
    var events: u32 = 0;
    if (interest & abi.Readiness.read != 0) events |= os.EPOLL.IN;
    if (interest & abi.Readiness.write != 0) events |= os.EPOLL.OUT;
    return .{ .events = events, .data = .{ .u64 = @bitCast(handle) } };
}

fn readiness(events: u32) u32 {
    var bits: u32 = 0;
    if (events & os.EPOLL.IN != 0) bits |= abi.Readiness.read;
    if (events & os.EPOLL.OUT != 0) bits |= abi.Readiness.write;
    if (events & (os.EPOLL.ERR | os.EPOLL.HUP) != 0) bits |= abi.Readiness.failed;
    return bits;
}

/// Rounded up, so that a wait never ends early; a wait that ends at the limit is resumed by the caller.
fn milliseconds(timeout_ns: ?u64) i32 {
    const ns = timeout_ns orelse return -1;
    const ms = ns / std.time.ns_per_ms + @intFromBool(ns % std.time.ns_per_ms != 0);
    return @intCast(@min(ms, std.math.maxInt(i32)));
}

test milliseconds {
    try std.testing.expectEqual(-1, milliseconds(null));
    try std.testing.expectEqual(0, milliseconds(0));
    try std.testing.expectEqual(1, milliseconds(1));
    try std.testing.expectEqual(2, milliseconds(1_000_001));
    try std.testing.expectEqual(std.math.maxInt(i32), milliseconds(std.math.maxInt(u64)));
}
