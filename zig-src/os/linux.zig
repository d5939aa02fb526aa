//! Linux's system calls, one thin wrapper each. Every result is the value or `-errno`, whatever errno
//! it is: what a caller does not handle passes through to JavaScript unchanged.

const std = @import("std");
const linux = std.os.linux;
const abi = @import("../abi.zig");
const FutexLock = @import("futex_lock.zig").FutexLock;

pub const Errno = linux.E;
pub const Timespec = linux.timespec;
pub const EpollEvent = linux.epoll_event;
pub const EPOLL = linux.EPOLL;
pub const AF = linux.AF;
pub const sockaddr = linux.sockaddr;
pub const SO = linux.SO;
pub const SOL = linux.SOL;
pub const IPPROTO = linux.IPPROTO;
pub const TCP = linux.TCP;
pub const MSG = linux.MSG;
pub const Linger = extern struct {
    enabled: i32,
    seconds: i32,

    pub const option = SO.LINGER;
};
/// UNIX sockets may have names outside the file system, which begin with a NUL.
pub const has_abstract_names = true;
pub const PollEntry = linux.pollfd;
pub const POLL = linux.POLL;

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

pub fn yield() void {
    _ = linux.sched_yield();
}

pub fn writeStandardError(text: []const u8) void {
    _ = linux.write(linux.STDERR_FILENO, text.ptr, text.len);
}

/// EINTR is success: Linux has released the number by then, and a second close could hit its next owner.
pub fn close(descriptor: i32) i32 {
    const code = result(linux.close(descriptor));
    return if (code == failure(.INTR)) 0 else code;
}

/// Not inherited by children.
pub fn openFile(path: [*:0]const u8, flags: u32, permissions: u32) i32 {
    var all: linux.O = @bitCast(flags);
    all.CLOEXEC = true;
    while (true) {
        const code = result(linux.openat(linux.AT.FDCWD, path, all, permissions));
        if (code != failure(.INTR)) return code;
    }
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

/// A pidfd: readable once the process has ended. The kernel makes it close-on-exec. Where the status could not be
/// had later, it would be filled in here.
pub fn processOpen(pid: i32, _: *abi.ProcessStatus) i32 {
    return result(linux.pidfd_open(pid, 0));
}

/// Fills `exit` in when the process has ended, as far as the system tells. Never reaps: a child stays its parent's
/// to wait for.
pub fn processStatus(descriptor: i32, exit: *abi.ProcessStatus) i32 {
    const code = childStatus(descriptor, exit);
    // Not a child of ours, or reaped already: newer kernels keep the status in the pidfd once it is reaped.
    return if (code == failure(.CHILD)) reapedStatus(descriptor, exit) else code;
}

fn childStatus(descriptor: i32, exit: *abi.ProcessStatus) i32 {
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

/// Since Linux 6.15; before, nothing is known.
fn reapedStatus(descriptor: i32, exit: *abi.ProcessStatus) i32 {
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

pub const SIG = linux.SIG;
/// Signals have numbers below this.
pub const signal_count = 65;
pub const SignalInfo = linux.siginfo_t;
/// What the process does with a signal, as the kernel keeps it.
pub const SignalAction = linux.k_sigaction;
pub const SignalHandler = fn (SIG, *const SignalInfo, ?*anyopaque) callconv(.c) void;
/// Handlers up to the second are no functions.
pub const signal_default = 0;
pub const signal_ignored = 1;

pub fn handlerAddress(action: *const SignalAction) usize {
    return @intFromPtr(action.handler);
}

pub fn signalAction(signal: u8, action: *SignalAction) i32 {
    return result(linux.syscall4(.rt_sigaction, signal, 0, @intFromPtr(action), @sizeOf(linux.sigset_t)));
}

/// Puts an action back that `signalAction` gave, to the last bit.
pub fn restoreSignalAction(signal: u8, action: *const SignalAction) i32 {
    return result(linux.syscall4(.rt_sigaction, signal, @intFromPtr(action), 0, @sizeOf(linux.sigset_t)));
}

/// Blocks, while the handler runs, what `former` blocks. System calls that the signal interrupts go on, where
/// they can. Of children the process is told as before, and those that left no zombies still leave none.
pub fn setSignalHandler(signal: u8, handler: *const SignalHandler, former: *const SignalAction) i32 {
    const kept: u32 = @intCast(former.flags & (linux.SA.NOCLDSTOP | linux.SA.NOCLDWAIT));
    const no_zombies: u32 = if (handlerAddress(former) == signal_ignored) linux.SA.NOCLDWAIT else 0;
    const action: linux.Sigaction = .{
        .handler = .{ .sigaction = handler },
        .mask = former.mask,
        .flags = linux.SA.SIGINFO | linux.SA.RESTART | linux.SA.ONSTACK | kept | no_zombies,
    };
    return result(linux.sigaction(@enumFromInt(signal), &action, null));
}

pub fn processId() i32 {
    return linux.getpid();
}

/// Sends the signal to this thread.
pub fn raise(signal: SIG) void {
    _ = linux.tgkill(linux.getpid(), linux.gettid(), signal);
}

/// A socket that never blocks, as every one that `accept` gives.
pub fn socket(family: u32, socket_type: u32, protocol: u32, inheritable: bool) i32 {
    return result(linux.socket(family, socket_type | creationFlags(inheritable), protocol));
}

/// Two connected sockets that do not block and are not inheritable.
pub fn socketPair(ends: *[2]i32) i32 {
    return result(linux.socketpair(AF.UNIX, linux.SOCK.STREAM | creationFlags(false), 0, ends));
}

fn creationFlags(inheritable: bool) u32 {
    return linux.SOCK.NONBLOCK | @as(u32, if (inheritable) 0 else linux.SOCK.CLOEXEC);
}

pub fn bind(descriptor: i32, address: *const sockaddr, length: u32) i32 {
    return result(linux.bind(descriptor, address, length));
}

pub fn listen(descriptor: i32, backlog: i32) i32 {
    return result(linux.listen(descriptor, @bitCast(backlog)));
}

pub fn connect(descriptor: i32, address: *const sockaddr, length: u32) i32 {
    return result(linux.connect(descriptor, address, length));
}

pub fn accept(descriptor: i32, address: *sockaddr, length: *u32, inheritable: bool) i32 {
    return result(linux.accept4(descriptor, address, length, creationFlags(inheritable)));
}

pub fn localAddress(descriptor: i32, address: *sockaddr, length: *u32) i32 {
    return result(linux.getsockname(descriptor, address, length));
}

pub fn peerAddress(descriptor: i32, address: *sockaddr, length: *u32) i32 {
    return result(linux.getpeername(descriptor, address, length));
}

/// The family of a socket, bound or not.
pub fn socketFamily(descriptor: i32) i32 {
    var family: i32 = undefined;
    const code = getOption(descriptor, SOL.SOCKET, SO.DOMAIN, std.mem.asBytes(&family));
    return if (code < 0) code else family;
}

/// As every transfer below, never blocks and never raises a signal, whatever the flags.
pub fn receive(descriptor: i32, memory: []u8, flags: u32) i32 {
    return result(linux.recvfrom(descriptor, memory.ptr, memory.len, flags | MSG.DONTWAIT, null, null));
}

/// The length of the datagram as it was sent.
pub fn receiveFrom(descriptor: i32, memory: []u8, flags: u32, address: *sockaddr, length: *u32) i32 {
    const all_flags = flags | MSG.DONTWAIT | MSG.TRUNC;
    return result(linux.recvfrom(descriptor, memory.ptr, memory.len, all_flags, address, length));
}

/// The number of bytes that can be received at once.
pub fn available(descriptor: i32) i32 {
    var count: i32 = 0;
    const failed = result(linux.ioctl(descriptor, linux.T.FIONREAD, @intFromPtr(&count)));
    return if (failed < 0) failed else count;
}

const send_flags = MSG.DONTWAIT | MSG.NOSIGNAL;

pub fn send(descriptor: i32, memory: []const u8, flags: u32) i32 {
    return result(linux.sendto(descriptor, memory.ptr, memory.len, flags | send_flags, null, 0));
}

pub fn sendTo(descriptor: i32, memory: []const u8, flags: u32, address: *const sockaddr, length: u32) i32 {
    return result(linux.sendto(descriptor, memory.ptr, memory.len, flags | send_flags, address, length));
}

pub fn getOption(descriptor: i32, level: i32, name: u32, value: []u8) i32 {
    var length: u32 = @intCast(value.len);
    return result(linux.getsockopt(descriptor, level, name, value.ptr, &length));
}

pub fn setOption(descriptor: i32, level: i32, name: u32, value: []const u8) i32 {
    return result(linux.setsockopt(descriptor, level, name, value.ptr, @intCast(value.len)));
}

pub const Lock = FutexLock(futexWait, futexWake);

fn futexWait(word: *const u32, expected: u32) void {
    _ = linux.futex_4arg(word, .{ .cmd = .WAIT, .private = true }, expected, null);
}

fn futexWake(word: *const u32) void {
    _ = linux.futex_3arg(word, .{ .cmd = .WAKE, .private = true }, 1);
}

pub const Thread = @import("thread.zig").Thread;

/// The errno behind a failure of `getaddrinfo` in this thread just now; 0 where there is none.
pub fn lookupErrno(status: c_int) i32 {
    const EAI_SYSTEM = -11;
    return if (status == EAI_SYSTEM) __errno_location().* else 0;
}

pub const AI_V4MAPPED = 0x8;

/// The same in glibc and musl, as are all the C library's names here.
pub const addrinfo = extern struct {
    flags: c_int,
    family: c_int,
    socktype: c_int,
    protocol: c_int,
    addrlen: u32 = 0,
    addr: ?[*]const u8 = null,
    canonname: ?[*:0]const u8 = null,
    next: ?*addrinfo = null,
};

// These stay undefined in our file: the process that loads it has them, whether that is glibc's or musl's.
extern fn __errno_location() *c_int;
pub extern fn getaddrinfo(
    name: [*:0]const u8,
    service: ?[*:0]const u8,
    hints: *const addrinfo,
    answers: *?*addrinfo,
) c_int;
pub extern fn freeaddrinfo(answers: *addrinfo) void;
pub extern fn gai_strerror(status: c_int) ?[*:0]const u8;
