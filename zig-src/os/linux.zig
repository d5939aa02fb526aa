//! Linux's system calls, one thin wrapper each. Every result is the value or `-errno`, whatever errno
//! it is: what a caller does not handle passes through to JavaScript unchanged.

const std = @import("std");
const linux = std.os.linux;

pub const Errno = linux.E;
pub const Timespec = linux.timespec;
pub const EpollEvent = linux.epoll_event;
pub const EPOLL = linux.EPOLL;

/// `-errno` as the wrappers below return it.
pub fn failure(errno: Errno) i32 {
    return -@as(i32, @intFromEnum(errno));
}

/// Every call here returns a descriptor, a flag word or a bounded count, which an i32 holds.
fn result(value: usize) i32 {
    return @intCast(@as(isize, @bitCast(value)));
}

fn register(descriptor: i32) usize {
    return @bitCast(@as(isize, descriptor));
}

pub fn timespec(duration_ns: u64) Timespec {
    return .{
        .sec = @intCast(duration_ns / std.time.ns_per_s),
        .nsec = @intCast(duration_ns % std.time.ns_per_s),
    };
}

pub fn monotonicNanoseconds() u64 {
    var now: Timespec = undefined;
    const failed = linux.clock_gettime(.MONOTONIC, &now);
    std.debug.assert(failed == 0); // this clock exists on every Linux
    return @as(u64, @intCast(now.sec)) * std.time.ns_per_s + @as(u64, @intCast(now.nsec));
}

/// EINTR is success: Linux has released the number by then, and a second close could hit its next owner.
pub fn close(descriptor: i32) i32 {
    const code = result(linux.close(descriptor));
    return if (code == failure(.INTR)) 0 else code;
}

/// 0 when `descriptor` is open. An O_PATH descriptor counts as closed, since nearly every call gives
/// EBADF for it, while `select` would call it ready for ever.
pub fn checkOpen(descriptor: i32) i32 {
    const flags = result(linux.fcntl(descriptor, linux.F.GETFL, 0));
    if (flags < 0) return flags;
    const path_flag: u32 = @bitCast(linux.O{ .PATH = true });
    return if (@as(u32, @intCast(flags)) & path_flag != 0) failure(.BADF) else 0;
}

/// 0 when waiting for the descriptor means something; EPERM, as epoll says it, when it is a file whose
/// readiness `select` would report for ever.
pub fn checkWaitable(descriptor: i32) i32 {
    const code = checkOpen(descriptor);
    if (code < 0) return code;
    var status: linux.Statx = undefined;
    const failed = result(linux.statx(descriptor, "", linux.AT.EMPTY_PATH, .{ .TYPE = true }, &status));
    if (failed < 0) return failed;
    return switch (status.mode & linux.S.IFMT) {
        linux.S.IFREG, linux.S.IFDIR, linux.S.IFBLK => failure(.PERM),
        else => 0,
    };
}

pub fn setInheritable(descriptor: i32, inheritable: bool) i32 {
    const flags = result(linux.fcntl(descriptor, linux.F.GETFD, 0));
    if (flags < 0) return flags;
    const others = @as(u32, @intCast(flags)) & ~@as(u32, linux.FD_CLOEXEC);
    return result(linux.fcntl(descriptor, linux.F.SETFD, others | @as(u32, if (inheritable) 0 else linux.FD_CLOEXEC)));
}

pub fn descriptorLimit() i32 {
    var limit: linux.rlimit = undefined;
    const failed = result(linux.prlimit(0, .NOFILE, null, &limit));
    return if (failed < 0) failed else @intCast(@min(limit.cur, std.math.maxInt(i32)));
}

/// Zeroed memory that takes room only as it is written; null when there is none.
pub fn reserve(size: usize) ?[]align(std.heap.page_size_min) u8 {
    const flags: linux.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .NORESERVE = true };
    return std.posix.mmap(null, size, .{ .READ = true, .WRITE = true }, flags, -1, 0) catch null;
}

pub fn release(memory: []align(std.heap.page_size_min) u8) void {
    std.posix.munmap(memory);
}

pub fn openDead() i32 {
    return result(linux.openat(linux.AT.FDCWD, "/", .{ .PATH = true, .CLOEXEC = true }, 0));
}

/// Lets `target` name what `source` names, closing what it named before. Not inheritable.
pub fn duplicateOver(source: i32, target: i32) i32 {
    const close_on_exec: u32 = @bitCast(linux.O{ .CLOEXEC = true });
    return result(linux.dup3(source, target, close_on_exec));
}

pub fn epollCreate() i32 {
    return result(linux.epoll_create1(EPOLL.CLOEXEC));
}

pub fn epollControl(epoll: i32, operation: u32, descriptor: i32, event: *EpollEvent) i32 {
    return result(linux.epoll_ctl(epoll, operation, descriptor, event));
}

pub fn epollWaitPrecise(epoll: i32, events: []EpollEvent, timeout: ?*const Timespec) i32 {
    const sigset_size = linux.NSIG / 8;
    return result(linux.syscall6(
        .epoll_pwait2,
        register(epoll),
        @intFromPtr(events.ptr),
        events.len,
        @intFromPtr(timeout),
        0,
        sigset_size,
    ));
}

pub fn epollWaitMilliseconds(epoll: i32, events: []EpollEvent, timeout_ms: i32) i32 {
    return result(linux.epoll_pwait(epoll, events.ptr, @intCast(events.len), timeout_ms, null));
}

/// The kernel writes the remaining time to `timeout` and the ready descriptors to the sets.
pub fn pselect(limit: usize, read: [*]usize, write: [*]usize, timeout: ?*Timespec) i32 {
    return result(linux.syscall6(
        .pselect6,
        limit,
        @intFromPtr(read),
        @intFromPtr(write),
        0,
        @intFromPtr(timeout),
        0,
    ));
}

pub fn eventCreate() i32 {
    return result(linux.eventfd(0, linux.EFD.CLOEXEC | linux.EFD.NONBLOCK));
}

pub fn eventRaise(event: i32) i32 {
    const one: u64 = 1;
    return result(linux.write(event, std.mem.asBytes(&one), @sizeOf(u64)));
}

pub fn eventClear(event: i32) i32 {
    var count: u64 = undefined;
    return result(linux.read(event, std.mem.asBytes(&count), @sizeOf(u64)));
}

pub fn socket(domain: u32, socket_type: u32, protocol: u32) i32 {
    return result(linux.socket(domain, socket_type, protocol));
}

pub fn bind(descriptor: i32, address: *const linux.sockaddr, length: u32) i32 {
    return result(linux.bind(descriptor, address, length));
}

pub fn listen(descriptor: i32, backlog: i32) i32 {
    return result(linux.listen(descriptor, @bitCast(backlog)));
}

pub fn connect(descriptor: i32, address: *const linux.sockaddr, length: u32) i32 {
    return result(linux.connect(descriptor, address, length));
}

pub fn accept(descriptor: i32, address: *linux.sockaddr, length: *u32, flags: u32) i32 {
    return result(linux.accept4(descriptor, address, length, flags));
}

pub fn localAddress(descriptor: i32, address: *linux.sockaddr, length: *u32) i32 {
    return result(linux.getsockname(descriptor, address, length));
}

pub fn peerAddress(descriptor: i32, address: *linux.sockaddr, length: *u32) i32 {
    return result(linux.getpeername(descriptor, address, length));
}

pub fn receive(descriptor: i32, memory: []u8, flags: u32) i32 {
    return result(linux.recvfrom(descriptor, memory.ptr, memory.len, flags, null, null));
}

/// The number of bytes that can be received at once.
pub fn available(descriptor: i32) i32 {
    var count: i32 = 0;
    const failed = result(linux.ioctl(descriptor, linux.T.FIONREAD, @intFromPtr(&count)));
    return if (failed < 0) failed else count;
}

pub fn send(descriptor: i32, memory: []const u8, flags: u32) i32 {
    return result(linux.sendto(descriptor, memory.ptr, memory.len, flags, null, 0));
}

pub fn getOption(descriptor: i32, level: i32, name: u32, value: []u8) i32 {
    var length: u32 = @intCast(value.len);
    return result(linux.getsockopt(descriptor, level, name, value.ptr, &length));
}

pub fn setOption(descriptor: i32, level: i32, name: u32, value: []const u8) i32 {
    return result(linux.setsockopt(descriptor, level, name, value.ptr, @intCast(value.len)));
}

/// A lock for a few instructions at a time. Neither pthread's (its size differs between the libcs) nor
/// std's (it wants an Io) fits a library that links no libc.
pub const Lock = struct {
    state: std.atomic.Value(u32) = .init(unlocked),

    const unlocked = 0;
    const locked = 1;
    const contended = 2;

    pub fn lock(self: *Lock) void {
        if (self.state.cmpxchgStrong(unlocked, locked, .acquire, .monotonic) == null) return;
        // Whoever has waited must assume that others wait as well, hence `contended` and never `locked`.
        while (self.state.swap(contended, .acquire) != unlocked) {
            // EINTR, EAGAIN and a spurious wake-up all mean the same: look again.
            _ = linux.futex_4arg(&self.state.raw, .{ .cmd = .WAIT, .private = true }, contended, null);
        }
    }

    pub fn unlock(self: *Lock) void {
        if (self.state.swap(unlocked, .release) == contended) {
            _ = linux.futex_3arg(&self.state.raw, .{ .cmd = .WAKE, .private = true }, 1);
        }
    }
};
