//! Linux's system calls, one thin wrapper each. Every result is the value or `-errno`, whatever errno
//! it is: what a caller does not handle passes through to JavaScript unchanged.

const std = @import("std");
const linux = std.os.linux;
const abi = @import("../abi.zig");

pub const Errno = linux.E;
pub const Timespec = linux.timespec;
pub const EpollEvent = linux.epoll_event;
pub const EPOLL = linux.EPOLL;
pub const PollEntry = linux.pollfd;
pub const POLL = linux.POLL;
pub const MSG = linux.MSG;

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

/// null waits for ever.
pub fn poll(entries: []PollEntry, timeout_ns: ?u64) i32 {
    var timeout = if (timeout_ns) |ns| timespec(ns) else null;
    return result(linux.ppoll(entries.ptr, entries.len, if (timeout) |*t| t else null, null));
}

pub fn timerCreate() i32 {
    return result(linux.timerfd_create(.MONOTONIC, .{ .CLOEXEC = true, .NONBLOCK = true }));
}

/// Lets the timer expire once, at a time of `monotonicNanoseconds`.
pub fn timerSet(timer: i32, deadline_ns: u64) i32 {
    // 0 would switch it off.
    const value: linux.itimerspec = .{ .it_interval = timespec(0), .it_value = timespec(@max(deadline_ns, 1)) };
    return result(linux.timerfd_settime(timer, .{ .ABSTIME = true }, &value, null));
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

/// A pidfd: readable once the process has ended. The kernel makes it close-on-exec.
pub fn processOpen(pid: i32) i32 {
    return result(linux.pidfd_open(pid, 0));
}

/// Fills `exit` in when the process is an ended child that nobody has waited for yet, and leaves it so. ECHILD
/// when it is no such child.
pub fn processStatus(descriptor: i32, exit: *abi.ProcessStatus) i32 {
    var info = std.mem.zeroes(linux.siginfo_t);
    const flags = linux.W.EXITED | linux.W.NOHANG | linux.W.NOWAIT;
    const failed = result(linux.waitid(.PIDFD, descriptor, &info, flags, null));
    // Without a signal number nothing has ended yet.
    if (failed < 0 or @intFromEnum(info.signo) == 0) return failed;
    const status = info.fields.common.second.sigchld.status;
    const exited = info.code == @intFromEnum(linux.CLD.EXITED);
    exit.* = if (exited) .{ .known = 1, .exit_code = status } else .{ .known = 1, .signal = status };
    return 0;
}

/// As `processStatus`, of a process that its parent has waited for. Since Linux 6.15; before, nothing is known.
pub fn processStatusReaped(descriptor: i32, exit: *abi.ProcessStatus) i32 {
    var info: PidfdInfo = .{ .mask = PidfdInfo.exit };
    const failed = result(linux.ioctl(descriptor, PidfdInfo.get, @intFromPtr(&info)));
    if (failed < 0 or info.mask & PidfdInfo.exit == 0) return 0;
    const status: u32 = @bitCast(info.exit_code);
    exit.* = if (linux.W.IFEXITED(status))
        .{ .known = 1, .exit_code = linux.W.EXITSTATUS(status) }
    else
        .{ .known = 1, .signal = @intCast(status & 0x7f) };
    return 0;
}

/// `struct pidfd_info` in its first, shortest form.
const PidfdInfo = extern struct {
    mask: u64,
    cgroup: u64 = 0,
    identities: [11]u32 = @splat(0),
    exit_code: i32 = 0,

    const exit: u64 = 1 << 3;
    const get = linux.IOCTL.IOWR(0xff, 11, PidfdInfo);
};

/// What the process does with a signal, as the kernel keeps it.
pub const SignalAction = linux.k_sigaction;
pub const SignalHandler = fn (linux.SIG, *const linux.siginfo_t, ?*anyopaque) callconv(.c) void;
/// Handlers up to here are no functions: the default action, and this one.
pub const signal_ignored = 1;

pub fn signalAction(signal: u8, action: *SignalAction) i32 {
    return result(linux.syscall4(.rt_sigaction, signal, 0, @intFromPtr(action), @sizeOf(linux.sigset_t)));
}

/// Puts an action back that `signalAction` gave, to the last bit.
pub fn restoreSignalAction(signal: u8, action: *const SignalAction) i32 {
    return result(linux.syscall4(.rt_sigaction, signal, @intFromPtr(action), 0, @sizeOf(linux.sigset_t)));
}

/// System calls that the signal interrupts go on, where they can.
pub fn setSignalHandler(signal: u8, handler: *const SignalHandler, mask: linux.sigset_t) i32 {
    const action: linux.Sigaction = .{
        .handler = .{ .sigaction = handler },
        .mask = mask,
        .flags = linux.SA.SIGINFO | linux.SA.RESTART | linux.SA.ONSTACK,
    };
    return result(linux.sigaction(@enumFromInt(signal), &action, null));
}

pub fn socket(domain: u32, socket_type: u32, protocol: u32) i32 {
    return result(linux.socket(domain, socket_type, protocol));
}

/// Two connected sockets that do not block and are not inheritable.
pub fn socketPair(ends: *[2]i32) i32 {
    return result(linux.socketpair(linux.AF.UNIX, linux.SOCK.STREAM | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC, 0, ends));
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

pub fn receiveFrom(descriptor: i32, memory: []u8, flags: u32, address: *linux.sockaddr, length: *u32) i32 {
    return result(linux.recvfrom(descriptor, memory.ptr, memory.len, flags, address, length));
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

pub fn sendTo(descriptor: i32, memory: []const u8, flags: u32, address: *const linux.sockaddr, length: u32) i32 {
    return result(linux.sendto(descriptor, memory.ptr, memory.len, flags, address, length));
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
