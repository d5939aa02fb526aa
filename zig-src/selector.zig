//! A selector: registered descriptors, what each is watched for, and the wait that says which are ready.

const std = @import("std");
const builtin = @import("builtin");
const abi = @import("abi.zig");
const os = @import("os.zig").os;
const Table = @import("table.zig").Table;
const Absent = @import("backend/absent.zig").Absent;

const allocator = std.heap.page_allocator;

/// What a backend is told: watch `descriptor` for `after` instead of `before`. The two differ.
pub const Change = struct {
    descriptor: i32,
    handle: abi.Handle,
    before: u32,
    after: u32,
    /// As the table's entry says.
    is_own: bool,
};

/// The mechanisms, each with the same declarations; `Absent` in the place of what this operating system lacks.
const Backend = union(abi.Backend) {
    epoll: if (builtin.os.tag == .linux) @import("backend/epoll.zig").Epoll else Absent,
    select: if (builtin.os.tag == .windows) Absent else @import("backend/select.zig").Select,
    kqueue: if (KqueueKernel) |kernel| @import("backend/kqueue.zig").Kqueue(kernel) else Absent,
    iocp: if (builtin.os.tag == .windows) @import("backend/iocp.zig").Iocp else Absent,

    comptime {
        for (@typeInfo(Backend).@"union".fields) |field| requireBackend(field.type);
    }

    fn init(self: *Backend, which: abi.Backend) i32 {
        switch (which) {
            inline else => |tag| {
                self.* = @unionInit(Backend, @tagName(tag), undefined);
                return @field(self, @tagName(tag)).init();
            },
        }
    }

    fn deinit(self: *Backend) void {
        switch (self.*) {
            inline else => |*backend| backend.deinit(),
        }
    }

    fn descriptor(self: *Backend) i32 {
        return switch (self.*) {
            inline else => |*backend| backend.descriptor(),
        };
    }

    fn setInterest(self: *Backend, change: Change) i32 {
        return switch (self.*) {
            inline else => |*backend| backend.setInterest(change),
        };
    }

    fn wait(self: *Backend, table: *Table, events: []abi.Event, timeout_ns: ?u64) i32 {
        return switch (self.*) {
            inline else => |*backend| backend.wait(table, events, timeout_ns),
        };
    }
};

/// As `selector_backends` gives them: bit n for the `abi.Backend` of number n.
pub const available_backends: u32 = bits: {
    var bits: u32 = 0;
    for (@typeInfo(Backend).@"union".fields) |field| {
        if (field.type != Absent) bits |= 1 << @intFromEnum(@field(abi.Backend, field.name));
    }
    break :bits bits;
};

/// Tests run the backend on a model where the system has no kqueue.
const KqueueKernel: ?type = switch (builtin.os.tag) {
    .macos, .freebsd => os,
    .linux => if (builtin.is_test) @import("test/kqueue_model.zig") else null,
    else => null,
};

fn requireBackend(comptime T: type) void {
    const required = .{
        .{ "init", fn (*T) i32 },
        .{ "deinit", fn (*T) void },
        // -1 when there is none that an outer selector could watch; from this call on one may.
        .{ "descriptor", fn (*T) i32 },
        // EBADF when the descriptor is closed, or its number now names something else. Of an own one the wait may
        // tell it instead.
        .{ "setInterest", fn (*T, Change) i32 },
        // null waits for ever. 0 may come before the time is up, and EINTR at any time.
        .{ "wait", fn (*T, *Table, []abi.Event, ?u64) i32 },
    };
    for (required) |declaration| {
        const name, const Function = declaration;
        if (!@hasDecl(T, name)) @compileError(@typeName(T) ++ " lacks " ++ name);
        if (@TypeOf(@field(T, name)) != Function) @compileError(@typeName(T) ++ "." ++ name ++ " has another type");
    }
}

pub const Selector = struct {
    backend: Backend,
    table: Table = .{},
    /// Reserved at its full size, which but Windows commits as it is used: JavaScript maps it once.
    events: *align(std.heap.page_size_min) Events,
    /// Also before it is opened.
    closed: bool = true,

    /// null when there is no memory.
    pub fn create() ?*Selector {
        const self = allocator.create(Selector) catch return null;
        const memory = os.reserve(@sizeOf(Events)) orelse {
            allocator.destroy(self);
            return null;
        };
        self.* = .{ .backend = undefined, .events = @ptrCast(memory.ptr) };
        return self;
    }

    pub fn open(self: *Selector, which: abi.Backend) i32 {
        const code = self.backend.init(which);
        self.closed = code < 0;
        return @min(code, 0);
    }

    /// Gives back what the kernel and the table hold; may be called again. The events stay readable.
    pub fn close(self: *Selector) void {
        if (self.closed) return;
        self.closed = true;
        self.backend.deinit();
        self.table.deinit();
    }

    /// As `close`, when the program that used it ends in the midst of things: what this library opened for it and
    /// is still registered is closed as well.
    pub fn abandon(self: *Selector) void {
        if (self.closed) return;
        for (self.table.entries) |entry| {
            if (entry.isRegistered() and entry.is_own) _ = os.close(entry.descriptor);
        }
        self.close();
    }

    /// Ends the selector and its events.
    pub fn free(self: *Selector) void {
        self.abandon();
        os.release(std.mem.asBytes(self.events));
        allocator.destroy(self);
    }

    pub fn descriptor(self: *Selector) i32 {
        return if (self.closed) closed_code else self.backend.descriptor();
    }

    /// Registers an open descriptor with an empty interest.
    pub fn register(self: *Selector, number: i32, is_own: bool, handle: *abi.Handle) i32 {
        if (self.closed) return closed_code;
        const code = if (is_own) 0 else os.checkOpen(number);
        if (code < 0) return code;
        handle.* = self.table.add(number, is_own) catch return os.failure(.NOMEM);
        return 0;
    }

    /// Watches for exactly this interest from now on.
    pub fn setInterest(self: *Selector, handle: abi.Handle, interest: u32) i32 {
        if (self.closed) return closed_code;
        const entry = self.table.get(handle.index, handle.generation) orelse return stale_code;
        const wanted = interest & (abi.Readiness.read | abi.Readiness.write);
        if (wanted == entry.interest) return 0;
        const code = self.backend.setInterest(.{
            .descriptor = entry.descriptor,
            .handle = handle,
            .before = entry.interest,
            .after = wanted,
            .is_own = entry.is_own,
        });
        if (code >= 0) entry.interest = wanted;
        // The kernel dropped it with the descriptor.
        if (code == os.failure(.BADF)) entry.interest = 0;
        return code;
    }

    /// Forgets the descriptor, closed meanwhile or not, and returns it. The handle is stale from now on. When it is
    /// closed next, the kernel is not asked: should a duplicate keep the file alive, its event names a stale handle.
    pub fn unregister(self: *Selector, handle: abi.Handle, is_closing: bool) i32 {
        if (self.closed) return closed_code;
        const entry = self.table.get(handle.index, handle.generation) orelse return stale_code;
        const number = entry.descriptor;
        // When that fails, the number names something else by now, and nothing is watched any more.
        if (!is_closing) _ = self.setInterest(handle, 0);
        self.table.remove(handle.index);
        return number;
    }

    /// Waits until something is ready or the time is up, and returns the number of `events`, at most `limit`; the
    /// next wait finds the others. A signal does not shorten the wait. Negative: for ever.
    pub fn wait(self: *Selector, timeout_ms: f64, limit: u32) i32 {
        if (self.closed) return closed_code;
        const room = self.events[0..std.math.clamp(limit, 1, abi.event_capacity)];
        const timeout_ns = nanoseconds(timeout_ms);
        const deadline_ns = if (timeout_ns) |ns| deadline(ns) else 0;
        var remaining_ns = timeout_ns;
        while (true) {
            const result = self.backend.wait(&self.table, room, remaining_ns);
            const interrupted = result == os.failure(.INTR);
            if (result != 0 and !interrupted) return result;
            const previous_ns = remaining_ns orelse continue;
            if (previous_ns != 0) remaining_ns = deadline_ns -| os.monotonicNanoseconds();
            if (remaining_ns == 0 and !interrupted) return 0;
        }
    }
};

const Events = [abi.event_capacity]abi.Event;

const closed_code = @intFromEnum(abi.Code.closed);
const stale_code = @intFromEnum(abi.Code.stale_handle);

/// A wait that does not block needs no clock.
fn deadline(timeout_ns: u64) u64 {
    return if (timeout_ns == 0) 0 else os.monotonicNanoseconds() +| timeout_ns;
}

/// Rounded up; null is for ever, which is also what no clock could count.
pub fn nanoseconds(timeout_ms: f64) ?u64 {
    if (std.math.isNan(timeout_ms)) return 0;
    if (timeout_ms < 0) return null;
    const ns = @ceil(timeout_ms * std.time.ns_per_ms);
    // 36 years; kqueue refuses more than 68.
    const longest_ns: f64 = 1 << 60;
    return if (ns < longest_ns) @intFromFloat(ns) else null;
}

test nanoseconds {
    const expectEqual = std.testing.expectEqual;
    try expectEqual(0, nanoseconds(0));
    try expectEqual(0, nanoseconds(-0.0));
    try expectEqual(0, nanoseconds(std.math.nan(f64)));
    try expectEqual(1, nanoseconds(1e-9));
    try expectEqual(1_500_000, nanoseconds(1.5));
    try expectEqual(null, nanoseconds(-1));
    try expectEqual(null, nanoseconds(-std.math.inf(f64)));
    try expectEqual(null, nanoseconds(std.math.inf(f64)));
    try expectEqual(null, nanoseconds(1e300));
}
