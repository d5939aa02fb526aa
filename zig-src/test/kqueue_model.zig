//! kqueue(2) as its manuals describe it, over Linux's poll(2), so that what is written for it runs here. Where
//! FreeBSD and macOS differ it is FreeBSD, but for `hides_ended`.
//!
//! Nobody tells the model that a descriptor is closed. It sees so at its next call, by the file that the number names
//! then: a number that was closed and names the same file again by that time is taken for unchanged.

const std = @import("std");
const linux = std.os.linux;
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const kevent_file = @import("../os/kevent.zig");
const Kevent = kevent_file.Kevent;
const EV = kevent_file.EV;
const EVFILT = kevent_file.EVFILT;
const NOTE = kevent_file.NOTE;

const allocator = std.heap.page_allocator;
const POLLRDHUP = 0x2000;

pub const failure = os.failure;
pub const timespec = os.timespec;

/// How often kevent was called.
pub var calls: u32 = 0;
/// macOS finds no process that has ended.
pub var hides_ended = false;

var registry_lock: os.Lock = .{};
var queues: std.AutoHashMapUnmanaged(i32, *Queue) = .empty;

pub fn kqueue() i32 {
    const queue = allocator.create(Queue) catch return failure(.NOMEM);
    queue.* = .{ .descriptor = os.epollCreate(), .waker = os.eventCreate() };
    std.debug.assert(queue.descriptor >= 0 and queue.waker >= 0);
    queue.watch(queue.waker, os.EPOLL.IN);
    registry_lock.lock();
    defer registry_lock.unlock();
    queues.put(allocator, queue.descriptor, queue) catch return failure(.NOMEM);
    return queue.descriptor;
}

pub fn close(descriptor: i32) i32 {
    registry_lock.lock();
    defer registry_lock.unlock();
    const entry = queues.fetchRemove(descriptor) orelse return failure(.BADF);
    const queue = entry.value;
    while (queue.knotes.items.len > 0) queue.remove(0);
    for ([_]i32{ queue.descriptor, queue.waker }) |number| _ = os.close(number);
    queue.knotes.deinit(allocator);
    queue.polled.deinit(allocator);
    allocator.destroy(queue);
    return 0;
}

pub fn kevent(descriptor: i32, changes: []const Kevent, events: []Kevent, timeout: ?*const os.Timespec) i32 {
    const queue = find(descriptor) orelse return failure(.BADF);
    calls += 1;
    const count = queue.apply(changes, events);
    if (count != 0 or events.len == 0) return count;
    if (timeout) |time| {
        if (time.sec < 0 or time.sec > std.math.maxInt(i32) or time.nsec < 0 or time.nsec >= std.time.ns_per_s) {
            return failure(.INVAL);
        }
    }
    return queue.wait(events, timeout);
}

pub fn knoteCount(descriptor: i32) usize {
    return find(descriptor).?.knotes.items.len;
}

pub fn exitOf(status: u32) abi.ProcessStatus {
    if (linux.W.IFEXITED(status)) return .{ .known = 1, .exit_code = linux.W.EXITSTATUS(status) };
    return .{ .known = 1, .signal = @intCast(status & 0x7f) };
}

pub fn hasEnded(pid: i32, exit: *abi.ProcessStatus) bool {
    const pidfd = os.processOpen(pid, exit);
    if (pidfd < 0) return false;
    defer _ = os.close(pidfd);
    return os.processStatus(pidfd, exit) == 0 and exit.known == 1;
}

fn find(descriptor: i32) ?*Queue {
    registry_lock.lock();
    defer registry_lock.unlock();
    return queues.get(descriptor);
}

const Knote = struct {
    ident: usize,
    filter: i16,
    /// EV_CLEAR, EV_ONESHOT, EV_DISPATCH.
    flags: u16,
    fflags: u32,
    data: i64,
    udata: u64,
    is_enabled: bool,
    /// EVFILT_USER: triggered.
    is_raised: bool = false,
    /// EVFILT_READ and EVFILT_WRITE: what the number named.
    file: ?File = null,
    /// EVFILT_PROC.
    pidfd: i32 = -1,
    /// EVFILT_TIMER.
    deadline_ns: u64 = 0,

    fn isOfDescriptor(self: Knote) bool {
        return isDescriptorFilter(self.filter);
    }

    fn polled(self: Knote) linux.pollfd {
        const number: i32 = if (self.isOfDescriptor()) @intCast(self.ident) else self.pidfd;
        const events: i16 = if (self.filter == EVFILT.WRITE) linux.POLL.OUT else linux.POLL.IN | POLLRDHUP;
        return .{ .fd = if (self.is_enabled) number else -1, .events = events, .revents = 0 };
    }

    fn periodNanoseconds(self: Knote) u64 {
        return @as(u64, @intCast(self.data)) * std.time.ns_per_ms;
    }

    /// The event that there is now, given what poll says of the descriptor.
    fn event(self: *Knote, revents: i16, now_ns: u64) ?Kevent {
        var result: Kevent = .{
            .ident = self.ident,
            .filter = self.filter,
            .flags = self.flags,
            .fflags = 0,
            .data = 0,
            .udata = self.udata,
        };
        const hung_up = revents & (linux.POLL.HUP | POLLRDHUP | linux.POLL.ERR) != 0;
        switch (self.filter) {
            EVFILT.READ, EVFILT.WRITE => {
                if (revents == 0) return null;
                if (hung_up) result.flags |= EV.EOF;
                // The socket's error, which Linux would clear by telling it.
                if (revents & linux.POLL.ERR != 0) result.fflags = @intFromEnum(linux.E.IO);
                const number: i32 = @intCast(self.ident);
                result.data = if (self.filter == EVFILT.READ) os.available(number) else roomToWrite(number);
            },
            EVFILT.USER => {
                if (!self.is_raised) return null;
                result.fflags = self.fflags;
                result.data = self.data;
            },
            EVFILT.PROC => {
                if (revents == 0) return null;
                result.flags |= EV.EOF | EV.ONESHOT;
                result.fflags = NOTE.EXIT;
                result.data = waitStatus(self.pidfd);
            },
            EVFILT.TIMER => {
                if (now_ns < self.deadline_ns) return null;
                result.data = @intCast(1 + (now_ns - self.deadline_ns) / self.periodNanoseconds());
            },
            else => unreachable,
        }
        return result;
    }
};

const Queue = struct {
    /// An epoll set of what makes the queue itself readable. It may stay so for a descriptor that was closed while its
    /// file lives on, which no call can take out of the set any more.
    descriptor: i32,
    /// Raised while a user event is.
    waker: i32,
    lock: os.Lock = .{},
    knotes: std.ArrayList(Knote) = .empty,
    /// What is polled for each knote, and behind them the waker.
    polled: std.ArrayList(linux.pollfd) = .empty,
    /// Where the next scan begins: what has been reported goes behind the others.
    first: usize = 0,

    /// Lets these events of a descriptor make the queue readable, 0 for none.
    fn watch(self: *Queue, number: i32, events: u32) void {
        var event: os.EpollEvent = .{ .events = events, .data = .{ .fd = number } };
        const operation: u32 = if (events == 0) os.EPOLL.CTL_DEL else os.EPOLL.CTL_MOD;
        const code = os.epollControl(self.descriptor, operation, number, &event);
        if (code != failure(.NOENT) or events == 0) return;
        _ = os.epollControl(self.descriptor, os.EPOLL.CTL_ADD, number, &event);
    }

    /// After every change of a knote of this descriptor.
    fn watchAnew(self: *Queue, ident: usize) void {
        var events: u32 = 0;
        for (self.knotes.items) |knote| {
            if (knote.ident != ident or !knote.isOfDescriptor() or !knote.is_enabled) continue;
            events |= if (knote.filter == EVFILT.READ) os.EPOLL.IN | os.EPOLL.RDHUP else os.EPOLL.OUT;
        }
        self.watch(@intCast(ident), events);
    }

    /// The number of errors and receipts among `events`, or the error for which there was no room.
    fn apply(self: *Queue, changes: []const Kevent, events: []Kevent) i32 {
        self.lock.lock();
        defer self.lock.unlock();
        self.forgetClosed();
        var count: usize = 0;
        for (changes) |change| {
            const code = self.register(change);
            if (isDescriptorFilter(change.filter)) self.watchAnew(change.ident);
            if (code == 0 and change.flags & EV.RECEIPT == 0) continue;
            if (count == events.len) return code;
            events[count] = change;
            events[count].flags = EV.ERROR;
            events[count].data = -code;
            count += 1;
        }
        return @intCast(count);
    }

    /// A knote goes with its descriptor, though the file may live on under another number.
    fn forgetClosed(self: *Queue) void {
        var index = self.knotes.items.len;
        while (index > 0) {
            index -= 1;
            const knote = self.knotes.items[index];
            if (knote.isOfDescriptor() and !std.meta.eql(File.of(knote.ident), knote.file)) self.remove(index);
        }
    }

    fn register(self: *Queue, change: Kevent) i32 {
        if (isDescriptorFilter(change.filter)) {
            if (File.of(change.ident) == null) return failure(.BADF);
            if (change.ident == self.descriptor) return failure(.INVAL);
        }
        const index = for (self.knotes.items, 0..) |knote, index| {
            if (knote.ident == change.ident and knote.filter == change.filter) break index;
        } else {
            return if (change.flags & EV.ADD == 0) failure(.NOENT) else self.attach(change);
        };
        if (change.flags & EV.DELETE != 0) {
            self.remove(index);
            return 0;
        }
        const knote = &self.knotes.items[index];
        knote.udata = change.udata;
        if (change.flags & (EV.ADD | EV.ENABLE) != 0) knote.is_enabled = true;
        if (change.flags & EV.DISABLE != 0) knote.is_enabled = false;
        if (change.filter == EVFILT.USER) self.touchUser(knote, change);
        return 0;
    }

    fn attach(self: *Queue, change: Kevent) i32 {
        var knote: Knote = .{
            .ident = change.ident,
            .filter = change.filter,
            .flags = change.flags & (EV.CLEAR | EV.ONESHOT | EV.DISPATCH),
            .fflags = change.fflags,
            .data = change.data,
            .udata = change.udata,
            .is_enabled = change.flags & EV.DISABLE == 0,
        };
        switch (change.filter) {
            EVFILT.READ, EVFILT.WRITE => {
                std.debug.assert(change.flags & EV.CLEAR == 0); // poll has no edges
                knote.file = File.of(change.ident);
            },
            EVFILT.PROC => {
                var exit: abi.ProcessStatus = .{};
                const pid: i32 = @intCast(change.ident);
                knote.pidfd = os.processOpen(pid, &exit);
                if (knote.pidfd < 0) return knote.pidfd;
                if (hides_ended and hasEnded(pid, &exit)) {
                    _ = os.close(knote.pidfd);
                    return failure(.SRCH);
                }
                self.watch(knote.pidfd, os.EPOLL.IN);
            },
            EVFILT.TIMER => {
                knote.flags |= EV.CLEAR;
                knote.deadline_ns = os.monotonicNanoseconds() + knote.periodNanoseconds();
            },
            EVFILT.USER => {},
            else => return failure(.INVAL),
        }
        self.knotes.append(allocator, knote) catch return failure(.NOMEM);
        if (change.filter == EVFILT.USER and change.fflags & NOTE.TRIGGER != 0) self.raise(self.last());
        return 0;
    }

    fn last(self: *Queue) *Knote {
        return &self.knotes.items[self.knotes.items.len - 1];
    }

    /// A trigger with EV_CLEAR takes itself back.
    fn touchUser(self: *Queue, knote: *Knote, change: Kevent) void {
        if (change.fflags & NOTE.TRIGGER != 0) self.raise(knote);
        if (change.flags & EV.CLEAR != 0) self.settle(knote);
    }

    fn raise(self: *Queue, knote: *Knote) void {
        knote.is_raised = true;
        _ = os.eventRaise(self.waker);
    }

    fn settle(self: *Queue, knote: *Knote) void {
        knote.is_raised = false;
        for (self.knotes.items) |other| {
            if (other.is_raised) return;
        }
        _ = os.eventClear(self.waker);
    }

    fn remove(self: *Queue, index: usize) void {
        if (self.knotes.items[index].filter == EVFILT.USER) self.settle(&self.knotes.items[index]);
        const knote = self.knotes.orderedRemove(index);
        if (knote.pidfd >= 0) {
            self.watch(knote.pidfd, 0);
            _ = os.close(knote.pidfd);
        }
        if (knote.isOfDescriptor()) self.watchAnew(knote.ident);
        if (self.first > index) self.first -= 1;
    }

    fn wait(self: *Queue, events: []Kevent, timeout: ?*const os.Timespec) i32 {
        const start_ns = os.monotonicNanoseconds();
        const deadline_ns = if (timeout) |time| start_ns + nanoseconds(time) else std.math.maxInt(u64);
        var until_ns: u64 = 0;
        while (true) {
            const failed = self.poll(until_ns);
            if (failed < 0) return failed;
            const count = self.scan(events);
            const now_ns = os.monotonicNanoseconds();
            if (count > 0 or now_ns >= deadline_ns) return count;
            until_ns = deadline_ns;
            for (self.knotes.items) |knote| {
                if (knote.filter == EVFILT.TIMER and knote.is_enabled) until_ns = @min(until_ns, knote.deadline_ns);
            }
        }
    }

    fn poll(self: *Queue, until_ns: u64) i32 {
        self.lock.lock();
        self.polled.clearRetainingCapacity();
        for (self.knotes.items) |knote| self.polled.append(allocator, knote.polled()) catch return failure(.NOMEM);
        const waker: linux.pollfd = .{ .fd = self.waker, .events = linux.POLL.IN, .revents = 0 };
        self.polled.append(allocator, waker) catch return failure(.NOMEM);
        self.lock.unlock();
        var left = timespec(until_ns -| os.monotonicNanoseconds());
        const is_for_ever = until_ns == std.math.maxInt(u64);
        const ready = linux.ppoll(self.polled.items.ptr, self.polled.items.len, if (is_for_ever) null else &left, null);
        return if (linux.errno(ready) == .SUCCESS) 0 else failure(linux.errno(ready));
    }

    fn scan(self: *Queue, events: []Kevent) i32 {
        self.lock.lock();
        defer self.lock.unlock();
        const now_ns = os.monotonicNanoseconds();
        const total = self.knotes.items.len;
        var count: usize = 0;
        var index = self.first;
        for (0..total) |_| {
            if (count == events.len) break;
            index %= total;
            const knote = &self.knotes.items[index];
            const found = if (knote.is_enabled) knote.event(self.polled.items[index].revents, now_ns) else null;
            index += 1;
            events[count] = found orelse continue;
            count += 1;
            self.report(knote, now_ns);
        }
        self.first = if (total == 0) 0 else index % total;
        self.removeSpent(events[0..count]);
        return @intCast(count);
    }

    fn report(self: *Queue, knote: *Knote, now_ns: u64) void {
        if (knote.flags & EV.DISPATCH != 0) {
            knote.is_enabled = false;
            if (knote.isOfDescriptor()) self.watchAnew(knote.ident);
        }
        if (knote.filter == EVFILT.USER and knote.flags & EV.CLEAR != 0) self.settle(knote);
        if (knote.filter == EVFILT.TIMER) {
            while (knote.deadline_ns <= now_ns) knote.deadline_ns += knote.periodNanoseconds();
        }
    }

    fn removeSpent(self: *Queue, events: []const Kevent) void {
        for (events) |event| {
            if (event.flags & EV.ONESHOT == 0) continue;
            for (self.knotes.items, 0..) |knote, index| {
                if (knote.ident != event.ident or knote.filter != event.filter) continue;
                self.remove(index);
                break;
            }
        }
    }
};

/// What a number names.
const File = struct {
    device: [2]u32,
    inode: u64,

    fn of(number: usize) ?File {
        var status: linux.Statx = undefined;
        const mask: linux.STATX = .{ .INO = true };
        const code = linux.statx(@intCast(number), "", linux.AT.EMPTY_PATH, mask, &status);
        if (linux.errno(code) != .SUCCESS) return null;
        return .{ .device = .{ status.dev_major, status.dev_minor }, .inode = status.ino };
    }
};

fn isDescriptorFilter(filter: i16) bool {
    return filter == EVFILT.READ or filter == EVFILT.WRITE;
}

fn nanoseconds(time: *const os.Timespec) u64 {
    return @as(u64, @intCast(time.sec)) * std.time.ns_per_s + @as(u64, @intCast(time.nsec));
}

/// How many bytes a pipe or a socket takes at once.
fn roomToWrite(number: i32) i64 {
    const F_GETPIPE_SZ = 1032;
    const SIOCOUTQ = 0x5411;
    const pipe_size: isize = @bitCast(linux.fcntl(number, F_GETPIPE_SZ, 0));
    if (pipe_size >= 0) return pipe_size - os.available(number);
    var size: i32 = 0;
    var used: i32 = 0;
    _ = os.getOption(number, os.SOL.SOCKET, os.SO.SNDBUF, std.mem.asBytes(&size));
    _ = linux.ioctl(number, SIOCOUTQ, @intFromPtr(&used));
    return @max(size - used, 0);
}

/// How a process ended, in the form of wait(2); 0 where the system does not tell.
fn waitStatus(pidfd: i32) i64 {
    var exit: abi.ProcessStatus = .{};
    _ = os.processStatus(pidfd, &exit);
    return exit.exit_code << 8 | exit.signal;
}
