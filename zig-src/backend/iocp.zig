//! Readiness on a completion port of Windows, from a poll of AFD, the driver behind Winsock, per watched socket, and a
//! wait of the thread pool per watched event or process. Each tells once. What has told is begun anew before the next
//! wait, which so sees again what is still ready.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const Table = @import("../table.zig").Table;
const Change = @import("../selector.zig").Change;

const allocator = std.heap.page_allocator;
const initial_capacity = 256;
const watches_per_poller = 32;
/// What is cancelled completes at once. A driver that does not keep to that shall not stop the loop for long.
const cancellation_limit_ns = 10 * std.time.ns_per_ms;
const closing_limit_ns = std.time.ns_per_s;

pub const Iocp = struct {
    port: i32 = -1,
    completions: []os.Completion = &.{},
    memory: std.heap.MemoryPool(Watch) = .empty,
    watch_count: usize = 0,
    /// By the places in the table; some are of former registrations there.
    watches: std.ArrayList(?*Watch) = .empty,
    /// One for so many neighbouring places; -1 where there is none yet.
    pollers: std.ArrayList(i32) = .empty,
    /// What to begin, or to begin anew, before the next wait. There is room for every watch.
    outdated: std.ArrayList(*Watch) = .empty,
    /// Watches whose memory is the system's until their completions have come.
    pending_count: usize = 0,
    cancelled_count: usize = 0,

    pub fn init(self: *Iocp) i32 {
        self.* = .{};
        self.completions = allocator.alloc(os.Completion, initial_capacity) catch return os.failure(.NOMEM);
        self.port = os.portCreate();
        if (self.port < 0) allocator.free(self.completions);
        return @min(self.port, 0);
    }

    pub fn deinit(self: *Iocp) void {
        for (self.outdated.items) |watch| {
            watch.is_outdated = false;
            self.freeForgotten(watch);
        }
        for (self.watches.items) |place| {
            if (place) |watch| self.forget(watch);
        }
        while (self.pending_count > 0) {
            const count = os.portWait(self.port, self.completions, closing_limit_ns);
            if (count <= 0) break;
            for (self.completions[0..@intCast(count)]) |*completion| _ = self.finish(watchOf(completion));
        }
        for (self.pollers.items) |poller| {
            if (poller >= 0) _ = os.close(poller);
        }
        _ = os.close(self.port);
        // Memory that the system still has is lost.
        if (self.pending_count == 0) self.memory.deinit(allocator);
        self.watches.deinit(allocator);
        self.pollers.deinit(allocator);
        self.outdated.deinit(allocator);
        allocator.free(self.completions);
    }

    pub fn descriptor(_: *Iocp) i32 {
        return -1;
    }

    /// Leaves it to the next wait to begin: a poll cannot be widened but by cancelling it and beginning anew.
    pub fn setInterest(self: *Iocp, change: Change) i32 {
        const failed = if (change.is_own) 0 else os.checkWaitable(change.descriptor);
        const after = if (failed < 0) 0 else change.after;
        if (self.find(change.handle)) |watch| {
            if (after == 0) self.disarm(watch) else self.outdate(watch);
        } else if (after != 0) return self.add(change);
        // The number may name something else by now, of a kind that cannot be watched.
        return if (failed < 0 and change.before != 0) os.failure(.BADF) else failed;
    }

    /// Begins what the next wait would, for somebody who waits in its stead. What fails is left to that wait to tell.
    pub fn begin(self: *Iocp, table: *Table) i32 {
        var nothing: Found = .{ .table = table, .events = &.{} };
        return self.beginOutdated(&nothing);
    }

    pub fn wait(self: *Iocp, table: *Table, events: []abi.Event, timeout_ns: ?u64) i32 {
        var found: Found = .{ .table = table, .events = events };
        const failed = self.beginOutdated(&found);
        if (failed < 0 and found.count == 0) return failed;
        var limit_ns = timeout_ns;
        while (found.room() > 0) {
            if (found.count > 0) limit_ns = 0;
            const room = self.completions[0..@min(self.completions.len, found.room())];
            const count = os.portWait(self.port, room, self.patience(limit_ns));
            if (count < 0 and found.count == 0) return count;
            if (count <= 0) break;
            var has_begun_anew = false;
            for (room[0..@intCast(count)]) |*completion| {
                if (self.collect(watchOf(completion), &found)) has_begun_anew = true;
            }
            if (count == self.completions.len) self.grow();
            // It may be ready, which who does not wait must be told now.
            if (!has_begun_anew or (found.count == 0 and limit_ns != 0)) break;
        }
        return @intCast(found.count);
    }

    /// How long to wait for a completion: for what was cancelled, which is to begin anew, at least a moment.
    fn patience(self: *const Iocp, timeout_ns: ?u64) ?u64 {
        const ns = timeout_ns orelse return null;
        return if (self.cancelled_count > 0) @max(ns, cancellation_limit_ns) else ns;
    }

    fn find(self: *Iocp, handle: abi.Handle) ?*Watch {
        if (handle.index >= self.watches.items.len) return null;
        const watch = self.watches.items[handle.index] orelse return null;
        return if (watch.handle.generation == handle.generation) watch else null;
    }

    fn add(self: *Iocp, change: Change) i32 {
        const index = change.handle.index;
        self.reserve(index) catch return os.failure(.NOMEM);
        const poller = self.pollerOf(index);
        if (poller < 0) return poller;
        const watch = self.memory.create(allocator) catch return os.failure(.NOMEM);
        watch.* = .{ .handle = change.handle, .source = undefined };
        const failed = watch.source.init(change.descriptor, self.port, poller);
        if (failed < 0) {
            self.memory.destroy(watch);
            return failed;
        }
        self.watch_count += 1;
        if (self.watches.items[index]) |former| self.forget(former);
        self.watches.items[index] = watch;
        self.outdate(watch);
        return 0;
    }

    /// Makes room for one more watch, at this place.
    fn reserve(self: *Iocp, index: u32) error{OutOfMemory}!void {
        try self.outdated.ensureTotalCapacity(allocator, self.watch_count + 1);
        if (index >= self.watches.items.len) {
            try self.watches.appendNTimes(allocator, null, index + 1 - self.watches.items.len);
        }
    }

    /// The poller of a place, or an errno.
    fn pollerOf(self: *Iocp, index: u32) i32 {
        const group = index / watches_per_poller;
        if (group >= self.pollers.items.len) {
            self.pollers.appendNTimes(allocator, -1, group + 1 - self.pollers.items.len) catch return os.failure(.NOMEM);
        }
        const poller = &self.pollers.items[group];
        if (poller.* >= 0) return poller.*;
        const opened = os.pollerOpen(self.port);
        if (opened >= 0) poller.* = opened;
        return opened;
    }

    /// The interest is gone, and may come back.
    fn disarm(self: *Iocp, watch: *Watch) void {
        switch (watch.source) {
            // To find the base of a socket again costs more than to remember it.
            .socket => self.cancel(watch),
            // Its handle must not outlive the registration, of whose end nobody tells.
            .waitable => self.forget(watch),
        }
    }

    /// Takes a watch out of its place; it is freed once nobody refers to it any more.
    fn forget(self: *Iocp, watch: *Watch) void {
        self.watches.items[watch.handle.index] = null;
        watch.is_forgotten = true;
        self.cancel(watch);
        self.freeForgotten(watch);
    }

    fn freeForgotten(self: *Iocp, watch: *Watch) void {
        if (!watch.is_forgotten or watch.is_outdated or watch.state != .idle) return;
        watch.source.deinit();
        self.memory.destroy(watch);
        self.watch_count -= 1;
    }

    fn cancel(self: *Iocp, watch: *Watch) void {
        if (watch.state != .pending) return;
        if (watch.source.cancel()) {
            watch.state = .idle;
            self.pending_count -= 1;
        } else {
            watch.state = .cancelled;
            self.cancelled_count += 1;
        }
    }

    fn outdate(self: *Iocp, watch: *Watch) void {
        if (watch.is_outdated) return;
        watch.is_outdated = true;
        self.outdated.appendAssumeCapacity(watch);
    }

    /// What cannot begin stays outdated, for the next wait to try again; its errno is returned.
    fn beginOutdated(self: *Iocp, found: *Found) i32 {
        var code: i32 = 0;
        var kept: usize = 0;
        for (self.outdated.items) |watch| {
            const begun = self.bringUpToDate(watch, found);
            if (begun < 0) {
                code = begun;
                self.outdated.items[kept] = watch;
                kept += 1;
                continue;
            }
            watch.is_outdated = false;
            self.freeForgotten(watch);
        }
        self.outdated.shrinkRetainingCapacity(kept);
        return code;
    }

    fn bringUpToDate(self: *Iocp, watch: *Watch, found: *Found) i32 {
        const interest = found.interestIn(watch);
        if (interest == 0) return 0;
        if (watch.state == .pending and interest & ~watch.asked != 0) self.cancel(watch);
        // What was cancelled begins with its completion, if one comes.
        return if (watch.state == .idle) self.beginOne(watch, interest, found) else 0;
    }

    fn beginOne(self: *Iocp, watch: *Watch, interest: u32, found: *Found) i32 {
        const code = watch.source.begin(interest, watch);
        if (code == os.failure(.BADF)) return if (found.addDead(watch)) 0 else code;
        if (code < 0) return code;
        watch.state = .pending;
        watch.asked = interest;
        self.pending_count += 1;
        return 0;
    }

    /// What a completion says goes to `found`. True when the watch has begun anew.
    fn collect(self: *Iocp, watch: *Watch, found: *Found) bool {
        const result = self.finish(watch) orelse return false;
        const interest = found.interestIn(watch);
        if (interest == 0) return false;
        if (result == os.failure(.BADF)) {
            _ = found.addDead(watch);
            return false;
        }
        const ready = if (result < 0) abi.Readiness.failed else @as(u32, @intCast(result));
        const wanted = ready & (interest | abi.Readiness.failed);
        if (result != os.failure(.CANCELED) and wanted != 0) {
            found.add(watch, wanted);
            self.outdate(watch);
            return false;
        }
        // It told nothing of interest, and is to begin before anybody waits again.
        const begun = self.beginOne(watch, interest, found);
        if (begun < 0) self.outdate(watch);
        return begun == 0;
    }

    /// The system has given the watch's memory back. The readiness, or an errno; null when nobody wants to know.
    fn finish(self: *Iocp, watch: *Watch) ?i32 {
        if (watch.state == .cancelled) self.cancelled_count -= 1;
        self.pending_count -= 1;
        watch.state = .idle;
        const result = watch.source.finish();
        if (!watch.is_forgotten) return result;
        self.freeForgotten(watch);
        return null;
    }

    /// The last wait filled the array, so there may be more. Without memory the old size goes on to do.
    fn grow(self: *Iocp) void {
        const capacity = @min(self.completions.len * 2, abi.event_capacity);
        const larger = allocator.alloc(os.Completion, capacity) catch return;
        allocator.free(self.completions);
        self.completions = larger;
    }
};

fn watchOf(completion: *const os.Completion) *Watch {
    return @ptrCast(@alignCast(completion.context));
}

/// What a wait has found.
const Found = struct {
    table: *Table,
    events: []abi.Event,
    count: usize = 0,

    fn room(self: *const Found) usize {
        return self.events.len - self.count;
    }

    fn interestIn(self: *const Found, watch: *const Watch) u32 {
        if (watch.is_forgotten) return 0;
        const entry = self.table.get(watch.handle.index, watch.handle.generation) orelse return 0;
        return entry.interest & watch.source.possible();
    }

    fn add(self: *Found, watch: *const Watch, readiness: u32) void {
        const handle = watch.handle;
        self.events[self.count] = .{ .index = handle.index, .generation = handle.generation, .readiness = readiness };
        self.count += 1;
    }

    /// False when there is no room to tell of it.
    fn addDead(self: *Found, watch: *const Watch) bool {
        if (self.room() == 0) return false;
        self.events[self.count] = self.table.disarmDead(watch.handle.index);
        self.count += 1;
        return true;
    }
};

/// A registration that somebody wants to be told of.
const Watch = struct {
    handle: abi.Handle,
    source: Source,
    state: enum { idle, pending, cancelled } = .idle,
    /// What it tells of, while it is pending.
    asked: u32 = 0,
    is_outdated: bool = false,
    /// Not in its place any more.
    is_forgotten: bool = false,
};

/// How a watch learns of readiness. `begin` is followed by a completion, unless it fails or `cancel` gives true.
const Source = union(enum) {
    socket: Socket,
    waitable: Waitable,

    fn init(self: *Source, descriptor: i32, port: i32, poller: i32) i32 {
        if (descriptor & os.waitable_tag != 0) {
            const copy = os.waitableCopy(descriptor);
            self.* = .{ .waitable = .{ .port = port, .handle = copy } };
            return @min(copy, 0);
        }
        const base = os.baseSocket(descriptor);
        self.* = .{ .socket = .{ .poller = poller, .base = base } };
        return @min(base, 0);
    }

    fn deinit(self: *Source) void {
        switch (self.*) {
            .socket => {},
            .waitable => |waitable| _ = os.close(waitable.handle),
        }
    }

    fn possible(self: Source) u32 {
        return switch (self) {
            .socket => abi.Readiness.read | abi.Readiness.write,
            .waitable => abi.Readiness.read,
        };
    }

    fn begin(self: *Source, interest: u32, watch: *Watch) i32 {
        return switch (self.*) {
            inline else => |*source| source.begin(interest, watch),
        };
    }

    fn cancel(self: *Source) bool {
        return switch (self.*) {
            inline else => |*source| source.cancel(),
        };
    }

    fn finish(self: *Source) i32 {
        return switch (self.*) {
            inline else => |*source| source.finish(),
        };
    }
};

const Socket = struct {
    poller: i32,
    base: i32,
    poll: os.Poll = undefined,

    fn begin(self: *Socket, interest: u32, watch: *Watch) i32 {
        return os.pollStart(self.poller, &self.poll, self.base, pollEvents(interest), watch);
    }

    fn cancel(self: *Socket) bool {
        os.pollCancel(self.poller, &self.poll);
        return false;
    }

    fn finish(self: *Socket) i32 {
        const events = os.pollResult(&self.poll);
        return if (events < 0) events else readinessOf(@intCast(events));
    }
};

fn pollEvents(interest: u32) u32 {
    const PollEvent = os.PollEvent;
    var events = PollEvent.abort | PollEvent.connect_fail;
    if (interest & abi.Readiness.read != 0) events |= PollEvent.receive | PollEvent.accept | PollEvent.disconnect;
    if (interest & abi.Readiness.write != 0) events |= PollEvent.send;
    return events;
}

fn readinessOf(events: u32) i32 {
    const PollEvent = os.PollEvent;
    var bits: u32 = 0;
    if (events & (PollEvent.receive | PollEvent.accept | PollEvent.disconnect) != 0) bits |= abi.Readiness.read;
    if (events & PollEvent.send != 0) bits |= abi.Readiness.write;
    if (events & (PollEvent.abort | PollEvent.connect_fail) != 0) bits |= abi.Readiness.failed;
    return @intCast(bits);
}

/// An event or a process, readable while it is signalled.
const Waitable = struct {
    port: i32,
    /// A copy, since nobody may close the handle of a wait.
    handle: i32,
    wait: ?os.Wait = null,
    is_told: std.atomic.Value(bool) = .init(false),

    fn begin(self: *Waitable, _: u32, watch: *Watch) i32 {
        if (os.isSignalled(self.handle)) {
            self.is_told.store(true, .monotonic);
            return os.portPost(self.port, watch);
        }
        self.is_told.store(false, .monotonic);
        return os.waitStart(&self.wait, self.handle, onSignalled, watch);
    }

    /// Runs in a thread of the system.
    fn onSignalled(context: ?*anyopaque, _: u8) callconv(.winapi) void {
        const watch: *Watch = @ptrCast(@alignCast(context));
        const self = &watch.source.waitable;
        self.is_told.store(os.portPost(self.port, watch) == 0, .release);
    }

    /// True when no completion comes.
    fn cancel(self: *Waitable) bool {
        self.endWait();
        return !self.is_told.load(.acquire);
    }

    fn finish(self: *Waitable) i32 {
        self.endWait();
        return abi.Readiness.read;
    }

    fn endWait(self: *Waitable) void {
        if (self.wait) |wait| os.waitEnd(wait);
        self.wait = null;
    }
};
