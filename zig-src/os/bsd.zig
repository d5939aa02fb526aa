//! The system calls of macOS and FreeBSD, through their C library, one thin wrapper each. Every result is the
//! value or `-errno`, whatever errno it is.

const std = @import("std");
const builtin = @import("builtin");
const c = std.c;
const abi = @import("../abi.zig");
const FutexLock = @import("futex_lock.zig").FutexLock;
const Kevent = @import("kevent.zig").Kevent;
const Sources = @import("kqueue_sources.zig").Sources;

const is_macos = builtin.os.tag == .macos;

pub const Errno = c.E;
pub const Timespec = c.timespec;
pub const AF = c.AF;
pub const sockaddr = c.sockaddr;
pub const SO = c.SO;
pub const SOL = c.SOL;
pub const IPPROTO = c.IPPROTO;
pub const TCP = struct {
    pub const NODELAY = numbers.TCP_NODELAY;
};
pub const MSG = c.MSG;
pub const PollEntry = c.pollfd;
pub const POLL = c.POLL;
pub const Linger = extern struct {
    enabled: i32,
    seconds: i32,

    /// SO_LINGER of macOS counts ticks.
    pub const option = if (is_macos) numbers.SO_LINGER_SEC else SO.LINGER;
};
pub const has_abstract_names = false;

/// What std lacks for one of the two, under the headers' names; `check_headers.zig` compares them.
pub const numbers = if (is_macos) struct {
    pub const AI_V4MAPPED = 0x800;
    pub const CLD_EXITED = 1;
    pub const EAI_SYSTEM = 11;
    pub const MSG_NOSIGNAL = 0x80000;
    pub const O_EXEC = 0x4000_0000;
    pub const P_PID = 1;
    pub const SO_LINGER_SEC = 0x1080;
    pub const SO_NREAD = 0x1020;
    pub const TCP_NODELAY = 1;
    pub const WEXITED = 4;
    pub const WNOWAIT = 0x20;
} else struct {
    pub const AI_V4MAPPED = 0x800;
    pub const EAI_SYSTEM = 11;
    pub const FIONREAD = 0x4004_667f;
    pub const MSG_NOSIGNAL = 0x20000;
    pub const O_EXEC = 0x4_0000;
    pub const TCP_NODELAY = 1;
};

/// `-errno` as the wrappers below return it.
pub fn failure(errno: Errno) i32 {
    return -@as(i32, @intFromEnum(errno));
}

/// Every call here returns a descriptor, a flag word or a bounded count, which an i32 holds.
fn result(value: anytype) i32 {
    return if (value == -1) -c._errno().* else @intCast(value);
}

pub fn timespec(duration_ns: u64) Timespec {
    return .{
        .sec = @intCast(duration_ns / std.time.ns_per_s),
        .nsec = @intCast(duration_ns % std.time.ns_per_s),
    };
}

pub fn monotonicNanoseconds() u64 {
    var now: Timespec = undefined;
    const failed = c.clock_gettime(.MONOTONIC, &now);
    std.debug.assert(failed == 0);
    return @as(u64, @intCast(now.sec)) * std.time.ns_per_s + @as(u64, @intCast(now.nsec));
}

pub fn yield() void {
    _ = c.sched_yield();
}

pub fn writeStandardError(text: []const u8) void {
    _ = c.write(c.STDERR_FILENO, text.ptr, text.len);
}

/// EINTR is success: the number has been released by then, and a second close could hit its next owner.
pub fn close(descriptor: i32) i32 {
    const code = result(c.close(descriptor));
    return if (code == failure(.INTR)) 0 else code;
}

/// 0 when `descriptor` is open. One of `openDead` counts as closed.
pub fn checkOpen(descriptor: i32) i32 {
    const flags = result(c.fcntl(descriptor, c.F.GETFL));
    if (flags < 0) return flags;
    return if (@as(u32, @intCast(flags)) & numbers.O_EXEC != 0) failure(.BADF) else 0;
}

/// 0 when waiting for the descriptor means something; EPERM, as epoll says it, when it is a file, which
/// `select` and kqueue would report for ever.
pub fn checkWaitable(descriptor: i32) i32 {
    const code = checkOpen(descriptor);
    if (code < 0) return code;
    var status: c.Stat = undefined;
    const failed = result(c.fstat(descriptor, &status));
    if (failed < 0) return failed;
    return switch (status.mode & c.S.IFMT) {
        c.S.IFREG, c.S.IFDIR, c.S.IFBLK => failure(.PERM),
        else => 0,
    };
}

pub fn setInheritable(descriptor: i32, inheritable: bool) i32 {
    const flags = result(c.fcntl(descriptor, c.F.GETFD));
    if (flags < 0) return flags;
    const others = flags & ~@as(i32, c.FD_CLOEXEC);
    return result(c.fcntl(descriptor, c.F.SETFD, others | @as(i32, if (inheritable) 0 else c.FD_CLOEXEC)));
}

pub fn descriptorLimit() i32 {
    var limit: c.rlimit = undefined;
    const failed = result(c.getrlimit(.NOFILE, &limit));
    return if (failed < 0) failed else @intCast(@min(limit.cur, std.math.maxInt(i32)));
}

/// Zeroed memory that takes room only as it is written; null when there is none.
pub fn reserve(size: usize) ?[]align(std.heap.page_size_min) u8 {
    const flags: c.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true };
    return std.posix.mmap(null, size, .{ .READ = true, .WRITE = true }, flags, -1, 0) catch null;
}

pub fn release(memory: []align(std.heap.page_size_min) u8) void {
    std.posix.munmap(memory);
}

/// A directory that may only be searched, so that to read and to write it gives EBADF.
pub fn openDead() i32 {
    const flags: u32 = @as(u32, @bitCast(c.O{ .DIRECTORY = true, .CLOEXEC = true })) | numbers.O_EXEC;
    return result(c.open("/", @bitCast(flags)));
}

/// Lets `target` name what `source` names, closing what it named before. Not inheritable, but for a moment.
pub fn duplicateOver(source: i32, target: i32) i32 {
    const code = result(c.dup2(source, target));
    if (code < 0) return code;
    const failed = setInheritable(target, false);
    return if (failed < 0) failed else code;
}

/// The kernel writes the ready descriptors to the sets, which may be as large as they have to.
pub fn pselect(limit: usize, read: [*]usize, write: [*]usize, timeout: ?*Timespec) i32 {
    return result(c_pselect(@intCast(limit), read, write, null, timeout, null));
}

const PselectFunction = fn (c_int, ?[*]usize, ?[*]usize, ?[*]usize, ?*const Timespec, ?*const c.sigset_t) callconv(.c) c_int;
/// macOS's plain one refuses sets of more than 1024 descriptors.
const c_pselect = @extern(*const PselectFunction, .{ .name = if (is_macos) "pselect$DARWIN_EXTSN" else "pselect" });

/// null waits for ever. Rounded up to milliseconds, since macOS has no ppoll.
pub fn poll(entries: []PollEntry, timeout_ns: ?u64) i32 {
    const ms = if (timeout_ns) |ns| ns / std.time.ns_per_ms + 1 else null;
    const timeout_ms: i32 = if (ms) |whole_ms| @intCast(@min(whole_ms, std.math.maxInt(i32))) else -1;
    return result(c.poll(entries.ptr, @intCast(entries.len), timeout_ms));
}

pub fn kqueue() i32 {
    const queue = result(c.kqueue());
    if (queue < 0) return queue;
    const code = setInheritable(queue, false);
    if (code < 0) _ = close(queue);
    return if (code < 0) code else queue;
}

/// Makes the changes, then waits for events if there is room for any. An error of a change is an event as well, and
/// ends the wait.
pub fn kevent(queue: i32, changes: []const Kevent, events: []Kevent, timeout: ?*const Timespec) i32 {
    return result(c_kevent(queue, changes.ptr, @intCast(changes.len), events.ptr, @intCast(events.len), timeout));
}

const KeventFunction = fn (c_int, [*]const Kevent, c_int, [*]Kevent, c_int, ?*const Timespec) callconv(.c) c_int;
const c_kevent = @extern(*const KeventFunction, .{ .name = "kevent" });

const sources = Sources(@This());
pub const eventCreate = sources.eventCreate;
pub const eventClear = sources.eventClear;
pub const processOpen = sources.processOpen;
pub const processStatus = sources.processStatus;

/// May run in a signal's handler, so it leaves the interrupted code's errno alone.
pub fn eventRaise(event: i32) i32 {
    const errno = c._errno().*;
    defer c._errno().* = errno;
    return sources.eventRaise(event);
}

/// From a status as `wait` gives it.
pub fn exitOf(status: u32) abi.ProcessStatus {
    if (c.W.IFEXITED(status)) return .{ .known = 1, .exit_code = c.W.EXITSTATUS(status) };
    return .{ .known = 1, .signal = @intCast(@intFromEnum(c.W.TERMSIG(status))) };
}

/// Whether it is a child that has ended and that nobody has waited for. FreeBSD's kqueue knows such by itself.
pub fn hasEnded(pid: i32, exit: *abi.ProcessStatus) bool {
    if (!is_macos) return false;
    var info = std.mem.zeroes(c.siginfo_t);
    const failed = waitid(numbers.P_PID, @intCast(pid), &info, c.W.NOHANG | numbers.WEXITED | numbers.WNOWAIT);
    if (failed != 0 or info.pid != pid) return false;
    const exited = info.code == numbers.CLD_EXITED;
    exit.* = if (exited) .{ .known = 1, .exit_code = info.status } else .{ .known = 1, .signal = info.status };
    return true;
}

extern "c" fn waitid(kind: c_int, id: u32, info: *c.siginfo_t, options: c_int) c_int;

pub const SIG = c.SIG;
/// Signals have numbers below this.
pub const signal_count = if (is_macos) 32 else 127;
pub const SignalInfo = c.siginfo_t;
/// What the process does with a signal.
pub const SignalAction = c.Sigaction;
pub const SignalHandler = fn (SIG, *const SignalInfo, ?*anyopaque) callconv(.c) void;
/// Handlers up to the second are no functions.
pub const signal_default = 0;
pub const signal_ignored = 1;

pub fn handlerAddress(action: *const SignalAction) usize {
    return @intFromPtr(action.handler.sigaction);
}

pub fn signalAction(signal: u8, action: *SignalAction) i32 {
    return result(c.sigaction(@enumFromInt(signal), null, action));
}

/// Puts an action back that `signalAction` gave.
pub fn restoreSignalAction(signal: u8, action: *const SignalAction) i32 {
    return result(c.sigaction(@enumFromInt(signal), action, null));
}

/// Blocks, while the handler runs, what `former` blocks. System calls that the signal interrupts go on, where
/// they can. Of children the process is told as before. Where SIGCHLD was ignored there are zombies now: with
/// SA_NOCLDWAIT, unlike on Linux, the signal would not come.
pub fn setSignalHandler(signal: u8, handler: *const SignalHandler, former: *const SignalAction) i32 {
    const kept = former.flags & (c.SA.NOCLDSTOP | c.SA.NOCLDWAIT);
    const action: SignalAction = .{
        .handler = .{ .sigaction = handler },
        .mask = former.mask,
        .flags = c.SA.SIGINFO | c.SA.RESTART | c.SA.ONSTACK | kept,
    };
    return result(c.sigaction(@enumFromInt(signal), &action, null));
}

pub fn processId() i32 {
    return c.getpid();
}

/// Sends the signal to this thread.
pub fn raise(signal: SIG) void {
    _ = c.raise(signal);
}

/// A socket that never blocks, as every one that `accept` gives.
pub fn socket(family: u32, socket_type: u32, protocol: u32, inheritable: bool) i32 {
    if (!is_macos) return result(c.socket(family, socket_type | creationFlags(inheritable), protocol));
    return prepared(result(c.socket(family, socket_type, protocol)), inheritable);
}

/// FreeBSD's alone.
fn creationFlags(inheritable: bool) u32 {
    return c.SOCK.NONBLOCK | @as(u32, if (inheritable) 0 else c.SOCK.CLOEXEC);
}

/// macOS sets a new socket's flags one after another. A process that another thread starts meanwhile inherits it.
fn prepared(descriptor: i32, inheritable: bool) i32 {
    if (descriptor < 0) return descriptor;
    const nonblocking: u32 = @bitCast(c.O{ .NONBLOCK = true });
    var code = result(c.fcntl(descriptor, c.F.SETFL, @as(c_int, @bitCast(nonblocking))));
    if (code >= 0) code = setInheritable(descriptor, inheritable);
    if (code < 0) _ = close(descriptor);
    return if (code < 0) code else descriptor;
}

/// Two connected sockets that do not block and are not inheritable.
pub fn socketPair(ends: *[2]i32) i32 {
    if (!is_macos) return result(c.socketpair(AF.UNIX, c.SOCK.STREAM | creationFlags(false), 0, ends));
    const code = result(c.socketpair(AF.UNIX, c.SOCK.STREAM, 0, ends));
    if (code < 0) return code;
    for (ends, 0..) |end, index| {
        const failed = prepared(end, false);
        if (failed >= 0) continue;
        _ = close(ends[1 - index]);
        return failed;
    }
    return 0;
}

pub fn bind(descriptor: i32, address: *const sockaddr, length: u32) i32 {
    return result(c.bind(descriptor, address, length));
}

pub fn listen(descriptor: i32, backlog: i32) i32 {
    return result(c.listen(descriptor, @bitCast(backlog)));
}

pub fn connect(descriptor: i32, address: *const sockaddr, length: u32) i32 {
    return result(c.connect(descriptor, address, length));
}

pub fn accept(descriptor: i32, address: *sockaddr, length: *u32, inheritable: bool) i32 {
    if (!is_macos) return result(c.accept4(descriptor, address, length, creationFlags(inheritable)));
    return prepared(result(c.accept(descriptor, address, length)), inheritable);
}

pub fn localAddress(descriptor: i32, address: *sockaddr, length: *u32) i32 {
    return result(c.getsockname(descriptor, address, length));
}

pub fn peerAddress(descriptor: i32, address: *sockaddr, length: *u32) i32 {
    return result(c.getpeername(descriptor, address, length));
}

/// The family of a socket, bound or not.
pub fn socketFamily(descriptor: i32) i32 {
    var address: sockaddr.storage = undefined;
    var length: u32 = @sizeOf(sockaddr.storage);
    const code = localAddress(descriptor, @ptrCast(&address), &length);
    return if (code < 0) code else address.family;
}

const send_flags = MSG.DONTWAIT | numbers.MSG_NOSIGNAL;

/// As every transfer below, never blocks and never raises a signal, whatever the flags.
pub fn receive(descriptor: i32, memory: []u8, flags: u32) i32 {
    return transferred(descriptor, c.recv(descriptor, memory.ptr, memory.len, @bitCast(flags | MSG.DONTWAIT)));
}

/// The length of the datagram as it was sent.
pub fn receiveFrom(descriptor: i32, memory: []u8, flags: u32, address: *sockaddr, length: *u32) i32 {
    // macOS does not tell the length afterwards.
    const next_length = if (is_macos) available(descriptor) else 0;
    const all_flags = flags | MSG.DONTWAIT | @as(u32, if (is_macos) 0 else MSG.TRUNC);
    const code = transferred(descriptor, c.recvfrom(descriptor, memory.ptr, memory.len, all_flags, address, length));
    return if (code == memory.len) @max(code, next_length) else code;
}

/// The number of bytes that can be received at once; of datagrams, FreeBSD counts all.
pub fn available(descriptor: i32) i32 {
    var count: i32 = 0;
    const failed = if (is_macos)
        getOption(descriptor, SOL.SOCKET, numbers.SO_NREAD, std.mem.asBytes(&count))
    else
        result(c.ioctl(descriptor, numbers.FIONREAD, &count));
    return if (failed < 0) failed else count;
}

pub fn send(descriptor: i32, memory: []const u8, flags: u32) i32 {
    return transferred(descriptor, c.send(descriptor, memory.ptr, memory.len, flags | send_flags));
}

pub fn sendTo(descriptor: i32, memory: []const u8, flags: u32, address: *const sockaddr, length: u32) i32 {
    const value = c.sendto(descriptor, memory.ptr, memory.len, flags | send_flags, address, length);
    return transferred(descriptor, value);
}

/// A descriptor of `openDead` gives EBADF, as it does to those who read and write it.
fn transferred(descriptor: i32, value: isize) i32 {
    const code = result(value);
    return if (code == failure(.NOTSOCK) and checkOpen(descriptor) < 0) failure(.BADF) else code;
}

pub fn getOption(descriptor: i32, level: i32, name: u32, value: []u8) i32 {
    var length: u32 = @intCast(value.len);
    return result(c.getsockopt(descriptor, level, name, value.ptr, &length));
}

pub fn setOption(descriptor: i32, level: i32, name: u32, value: []const u8) i32 {
    return result(c.setsockopt(descriptor, level, name, value.ptr, @intCast(value.len)));
}

pub const Lock = if (is_macos) struct {
    inner: c.os_unfair_lock = .{},

    pub fn tryLock(self: *Lock) bool {
        return c.os_unfair_lock_trylock(&self.inner);
    }

    pub fn lock(self: *Lock) void {
        c.os_unfair_lock_lock(&self.inner);
    }

    pub fn unlock(self: *Lock) void {
        c.os_unfair_lock_unlock(&self.inner);
    }
} else FutexLock(futexWait, futexWake);

fn futexWait(word: *const u32, expected: u32) void {
    _ = c._umtx_op(@intFromPtr(word), @intFromEnum(c.UMTX_OP.WAIT_UINT_PRIVATE), expected, 0, 0);
}

fn futexWake(word: *const u32) void {
    _ = c._umtx_op(@intFromPtr(word), @intFromEnum(c.UMTX_OP.WAKE_PRIVATE), 1, 0, 0);
}

pub const Thread = @import("thread.zig").Thread;

/// The errno behind a failure of `getaddrinfo` in this thread just now; 0 where there is none.
pub fn lookupErrno(status: c_int) i32 {
    return if (status == numbers.EAI_SYSTEM) c._errno().* else 0;
}

pub const AI_V4MAPPED = numbers.AI_V4MAPPED;

pub const addrinfo = extern struct {
    flags: c_int,
    family: c_int,
    socktype: c_int,
    protocol: c_int,
    addrlen: u32 = 0,
    canonname: ?[*:0]const u8 = null,
    addr: ?[*]const u8 = null,
    next: ?*addrinfo = null,
};

pub extern "c" fn getaddrinfo(
    name: [*:0]const u8,
    service: ?[*:0]const u8,
    hints: *const addrinfo,
    answers: *?*addrinfo,
) c_int;
pub extern "c" fn freeaddrinfo(answers: *addrinfo) void;
pub extern "c" fn gai_strerror(status: c_int) ?[*:0]const u8;
