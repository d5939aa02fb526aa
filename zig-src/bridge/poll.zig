//! Waits for a selector by poll(2): on its descriptor, or where it has none on a copy of its interests, made anew by
//! every `arm`.

const std = @import("std");
const builtin = @import("builtin");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const Selector = @import("../selector.zig").Selector;
const Table = @import("../table.zig").Table;
const Occasion = @import("../bridge.zig").Occasion;

const allocator = std.heap.page_allocator;

pub const PollWatcher = struct {
    /// Raised when there is a new snapshot, or when the thread is to stop.
    news: i32,
    /// The newest one, until the thread takes it.
    next: std.atomic.Value(?*Snapshot) = .init(null),
    stopping: std.atomic.Value(bool) = .init(false),

    pub fn init(self: *PollWatcher, _: *Selector, _: *const os.Thread) i32 {
        self.* = .{ .news = os.eventCreate() };
        return @min(self.news, 0);
    }

    pub fn deinit(self: *PollWatcher) void {
        if (self.next.raw) |snapshot| snapshot.destroy();
        _ = os.close(self.news);
    }

    pub fn arm(self: *PollWatcher, selector: *Selector, timeout_ns: ?u64) i32 {
        const snapshot = Snapshot.create(self.news, selector, timeout_ns) catch return os.failure(.NOMEM);
        if (self.next.swap(snapshot, .acq_rel)) |untaken| untaken.destroy();
        return @min(os.eventRaise(self.news), 0);
    }

    pub fn wait(self: *PollWatcher) Occasion {
        var armed: ?*Snapshot = null;
        defer if (armed) |snapshot| snapshot.destroy();
        while (true) {
            if (self.stopping.load(.acquire)) return .stop;
            if (self.next.swap(null, .acq_rel)) |newer| {
                if (armed) |older| older.destroy();
                armed = newer;
            }
            if (self.waitFor(armed)) return .ring;
        }
    }

    /// True when what is armed has happened, false when there is news.
    fn waitFor(self: *PollWatcher, armed: ?*Snapshot) bool {
        var unarmed = [_]os.PollEntry{newsEntry(self.news)};
        const entries = if (armed) |snapshot| snapshot.entries else &unarmed;
        const remaining_ns = if (armed) |snapshot| snapshot.remaining() else null;
        const must_look_again = hasLeftOut(entries) and (remaining_ns orelse look_again_ns) >= look_again_ns;
        const ready = os.poll(entries, if (must_look_again) look_again_ns else remaining_ns);
        if (ready == os.failure(.INTR)) return false;
        if (ready == 0 and must_look_again) {
            putBack(entries);
            return false;
        }
        if (builtin.os.tag == .linux and ready > 0 and leaveOutUnseen(entries) == ready) return false;
        if (ready < 0 or entries[0].revents == 0) return armed != null;
        // Before the news is looked at: what comes later raises it again.
        _ = os.eventClear(self.news);
        return false;
    }

    pub fn stop(self: *PollWatcher) void {
        self.stopping.store(true, .release);
        _ = os.eventRaise(self.news);
    }
};

/// Poll tells everybody of a hang-up, Linux's select nobody who only writes: the bell would ring for ever for what the
/// selector never finds. Takes such entries out of the snapshot, and returns their number.
fn leaveOutUnseen(entries: []os.PollEntry) i32 {
    var count: i32 = 0;
    for (entries) |*entry| {
        if (entry.events != os.POLL.OUT or entry.revents != os.POLL.HUP) continue;
        entry.fd = ~entry.fd;
        count += 1;
    }
    return count;
}

/// It may become writable all the same, when its peer reads or closes: who was left out is looked at again after this.
const look_again_ns = 20 * std.time.ns_per_ms;

fn hasLeftOut(entries: []const os.PollEntry) bool {
    for (entries) |entry| {
        if (entry.fd < 0) return true;
    }
    return false;
}

fn putBack(entries: []os.PollEntry) void {
    for (entries) |*entry| entry.fd = if (entry.fd < 0) ~entry.fd else entry.fd;
}

/// What one `arm` waits for.
const Snapshot = struct {
    /// The first one is for the news.
    entries: []os.PollEntry,
    deadline_ns: ?u64,

    fn create(news: i32, selector: *Selector, timeout_ns: ?u64) error{OutOfMemory}!*Snapshot {
        const self = try allocator.create(Snapshot);
        errdefer allocator.destroy(self);
        const descriptor = selector.descriptor();
        const watched = if (descriptor >= 0) 1 else selector.table.watchedCount();
        const entries = try allocator.alloc(os.PollEntry, 1 + watched);
        entries[0] = newsEntry(news);
        if (descriptor >= 0) entries[1] = newsEntry(descriptor) else copyInterests(&selector.table, entries[1..]);
        self.* = .{
            .entries = entries,
            .deadline_ns = if (timeout_ns) |ns| os.monotonicNanoseconds() +| ns else null,
        };
        return self;
    }

    fn copyInterests(table: *const Table, entries: []os.PollEntry) void {
        var count: usize = 0;
        for (table.entries) |entry| {
            if (entry.interest == 0) continue;
            entries[count] = .{ .fd = entry.descriptor, .events = pollEvents(entry.interest), .revents = 0 };
            count += 1;
        }
    }

    fn destroy(self: *Snapshot) void {
        allocator.free(self.entries);
        allocator.destroy(self);
    }

    fn remaining(self: *const Snapshot) ?u64 {
        const deadline_ns = self.deadline_ns orelse return null;
        return deadline_ns -| os.monotonicNanoseconds();
    }
};

fn newsEntry(news: i32) os.PollEntry {
    return .{ .fd = news, .events = os.POLL.IN, .revents = 0 };
}

fn pollEvents(interest: u32) i16 {
    var events: i16 = 0;
    if (interest & abi.Readiness.read != 0) events |= os.POLL.IN;
    if (interest & abi.Readiness.write != 0) events |= os.POLL.OUT;
    return events;
}
