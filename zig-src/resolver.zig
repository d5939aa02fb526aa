//! getaddrinfo, in the caller's thread or off it.

const std = @import("std");
const abi = @import("abi.zig");
const os = @import("os.zig").os;
const address_codec = @import("address.zig");

const allocator = std.heap.page_allocator;

const name_length_max = 1024;
const running_max = 4;

/// Lookups that run in threads of their own. `descriptor` is readable when one has finished.
pub const Resolver = struct {
    /// -1 before it is opened and once it is closed: by the owner, or by the last running thread after it, so that a
    /// late thread never writes to a number that has a new owner.
    event: i32 = -1,

    /// Guards the event and everything below.
    lock: os.Lock = .{},
    /// The owner wants no more results.
    closed: bool = false,
    /// The owner has let go; who ends last, owner or thread, frees the memory.
    freed: bool = false,
    running: u32 = 0,
    waiting: Queue = .{},
    finished: Queue = .{},

    /// null when there is no memory.
    pub fn create() ?*Resolver {
        const self = allocator.create(Resolver) catch return null;
        self.* = .{};
        return self;
    }

    pub fn open(self: *Resolver) i32 {
        self.event = os.eventCreate();
        return @min(self.event, 0);
    }

    /// Lookups that run end in their threads, and nobody sees their results. May be called again.
    pub fn close(self: *Resolver) void {
        self.lock.lock();
        defer self.lock.unlock();
        self.closed = true;
        self.waiting.clear();
        self.finished.clear();
        self.closeEventWhenIdle();
    }

    /// Ends the owner's use.
    pub fn free(self: *Resolver) void {
        self.close();
        self.lock.lock();
        self.freed = true;
        const is_last = self.running == 0;
        self.lock.unlock();
        if (is_last) allocator.destroy(self);
    }

    pub fn start(self: *Resolver, question: Question, ticket: u32) i32 {
        if (self.closed) return @intFromEnum(abi.Code.closed);
        if (!question.isValid()) return os.failure(.INVAL);
        const request = Request.create(question, ticket) catch return os.failure(.NOMEM);
        self.lock.lock();
        defer self.lock.unlock();
        if (self.running < running_max) {
            const code = self.startThread();
            // With a thread at work the lookup only has to wait for it.
            if (code < 0 and self.running == 0) {
                allocator.destroy(request);
                return code;
            }
        }
        self.waiting.push(request);
        return 0;
    }

    /// Drops a lookup that has not begun, so that the others need not wait for it. One that runs goes on.
    pub fn cancel(self: *Resolver, ticket: u32) void {
        self.lock.lock();
        defer self.lock.unlock();
        if (self.waiting.remove(ticket)) |request| allocator.destroy(request);
    }

    /// 1 when there was a finished lookup. 0 clears the event, under the lock, so that the next lookup to
    /// finish raises it again.
    pub fn take(self: *Resolver, lookup: *abi.Lookup) i32 {
        self.lock.lock();
        defer self.lock.unlock();
        const request = self.finished.pop() orelse {
            const code = os.eventClear(self.event);
            const is_failure = code < 0 and code != os.failure(.AGAIN);
            return if (is_failure) code else 0;
        };
        defer allocator.destroy(request);
        lookup.* = request.lookup;
        return 1;
    }

    /// The caller holds the lock, for which the new thread waits.
    fn startThread(self: *Resolver) i32 {
        var thread: os.Thread = undefined;
        const code = thread.start(run, self);
        if (code < 0) return code;
        self.running += 1;
        thread.detach();
        return 0;
    }

    fn run(context: ?*anyopaque) callconv(.c) ?*anyopaque {
        const self: *Resolver = @ptrCast(@alignCast(context));
        while (self.next()) |request| {
            lookUp(request.question(), &request.lookup);
            self.finish(request);
        }
        return null;
    }

    /// The next lookup for a running thread. null ends the thread, which must not touch the resolver again:
    /// looking and ending are one step, so that `start` can count on a thread that it sees running.
    fn next(self: *Resolver) ?*Request {
        self.lock.lock();
        if (self.waiting.pop()) |request| {
            self.lock.unlock();
            return request;
        }
        self.running -= 1;
        self.closeEventWhenIdle();
        const is_last = self.freed and self.running == 0;
        self.lock.unlock();
        if (is_last) allocator.destroy(self);
        return null;
    }

    /// The caller holds the lock.
    fn closeEventWhenIdle(self: *Resolver) void {
        if (!self.closed or self.running > 0 or self.event < 0) return;
        _ = os.close(self.event);
        self.event = -1;
    }

    fn finish(self: *Resolver, request: *Request) void {
        self.lock.lock();
        defer self.lock.unlock();
        if (self.closed) return allocator.destroy(request);
        self.finished.push(request);
        // EAGAIN, the only failure, says that it has been raised very often already.
        _ = os.eventRaise(self.event);
    }
};

/// What getaddrinfo is asked.
pub const Question = struct {
    name: []const u8,
    domain: u32,
    socket_type: u32,
    protocol: u32,

    fn isValid(self: Question) bool {
        return self.name.len <= name_length_max and std.mem.indexOfScalar(u8, self.name, 0) == null;
    }
};

const Request = struct {
    previous: ?*Request = null,
    next: ?*Request = null,
    name: [name_length_max]u8 = undefined,
    name_length: usize,
    domain: u32,
    socket_type: u32,
    protocol: u32,
    lookup: abi.Lookup,

    fn create(from: Question, ticket: u32) error{OutOfMemory}!*Request {
        const self = try allocator.create(Request);
        self.* = .{
            .name_length = from.name.len,
            .domain = from.domain,
            .socket_type = from.socket_type,
            .protocol = from.protocol,
            .lookup = .{ .ticket = ticket },
        };
        @memcpy(self.name[0..from.name.len], from.name);
        return self;
    }

    fn question(self: *const Request) Question {
        return .{
            .name = self.name[0..self.name_length],
            .domain = self.domain,
            .socket_type = self.socket_type,
            .protocol = self.protocol,
        };
    }
};

const Queue = struct {
    first: ?*Request = null,
    last: ?*Request = null,

    fn push(self: *Queue, request: *Request) void {
        request.previous = self.last;
        request.next = null;
        if (self.last) |last| last.next = request else self.first = request;
        self.last = request;
    }

    fn pop(self: *Queue) ?*Request {
        return self.unlink(self.first orelse return null);
    }

    /// Looks from both ends at once: who drops many does so in the order in which they came, or in the reverse.
    fn remove(self: *Queue, ticket: u32) ?*Request {
        var oldest = self.first;
        var newest = self.last;
        while (oldest) |from_first| {
            const from_last = newest.?;
            if (from_first.lookup.ticket == ticket) return self.unlink(from_first);
            if (from_last.lookup.ticket == ticket) return self.unlink(from_last);
            oldest = from_first.next;
            newest = from_last.previous;
        }
        return null;
    }

    fn unlink(self: *Queue, request: *Request) *Request {
        if (request.previous) |previous| previous.next = request.next else self.first = request.next;
        if (request.next) |next| next.previous = request.previous else self.last = request.previous;
        return request;
    }

    fn clear(self: *Queue) void {
        while (self.pop()) |request| allocator.destroy(request);
    }
};

/// Asks in the caller's thread, and blocks it.
pub fn resolveNow(question: Question, lookup: *abi.Lookup) i32 {
    if (!question.isValid()) return os.failure(.INVAL);
    lookup.* = .{};
    lookUp(question, lookup);
    return 0;
}

pub fn errorText(status: i32) ?[*:0]const u8 {
    return os.gai_strerror(status);
}

fn lookUp(question: Question, lookup: *abi.Lookup) void {
    var name: [name_length_max + 1]u8 = undefined;
    @memcpy(name[0..question.name.len], question.name);
    name[question.name.len] = 0;

    const hints: os.addrinfo = .{
        // An answer for IPv6 sockets may hold the IPv4 addresses in their mapped form, as in Nim.
        .flags = if (question.domain == @intFromEnum(abi.Domain.inet6)) os.AI_V4MAPPED else 0,
        .family = @bitCast(address_codec.familyOf(question.domain)),
        .socktype = @bitCast(question.socket_type),
        .protocol = @bitCast(question.protocol),
    };
    var answers: ?*os.addrinfo = null;
    lookup.status = os.getaddrinfo(name[0..question.name.len :0], null, &hints, &answers);
    if (lookup.status != 0) {
        lookup.system_error = os.lookupErrno(lookup.status);
        return;
    }
    const first = answers orelse return;
    defer os.freeaddrinfo(first);

    var answer: ?*os.addrinfo = first;
    while (answer) |found| : (answer = found.next) {
        if (lookup.count == lookup.addresses.len) break;
        const system_address = found.addr orelse continue;
        var system: address_codec.SystemAddress = .{ .bytes = @splat(0) };
        const length = @min(found.addrlen, system.bytes.len);
        @memcpy(system.bytes[0..length], system_address[0..length]);
        address_codec.decode(&system, length, &lookup.addresses[lookup.count]);
        lookup.count += 1;
    }
}
