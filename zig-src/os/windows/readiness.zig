//! What a completion port is fed with: polls of sockets by AFD, the driver behind Winsock, and waits for handles.

const std = @import("std");
const win32 = @import("win32.zig");
const descriptors = @import("descriptor.zig");
const fromSystem = @import("errno.zig").fromSystem;
const failure = descriptors.failure;
const handleOf = descriptors.handleOf;

pub const Completion = win32.Completion;

pub fn portCreate() i32 {
    // A thread that has taken something and goes on running keeps no other one, of so many, from what comes next.
    const running_threads = 2;
    return descriptors.waitableOf(win32.CreateIoCompletionPort(win32.invalid_handle, null, 0, running_threads));
}

pub fn portPost(port: i32, context: ?*anyopaque) i32 {
    const is_posted = win32.PostQueuedCompletionStatus(handleOf(port), 0, 0, context) != 0;
    return if (is_posted) 0 else descriptors.lastFailure();
}

/// How many completions there are, in the order in which they came; 0 when there was none in time. How precisely the
/// time is kept is up to Windows, whose clock may tick as rarely as every 16 ms.
pub fn portWait(port: i32, completions: []Completion, timeout_ns: ?u64) i32 {
    return takeFrom(port, completions, timeout_ns, false);
}

/// As `portWait`; EINTR when the thread was roused.
pub fn portWaitRousably(port: i32, completions: []Completion, timeout_ns: ?u64) i32 {
    return takeFrom(port, completions, timeout_ns, true);
}

fn takeFrom(port: i32, completions: []Completion, timeout_ns: ?u64, is_alertable: bool) i32 {
    const timeout = if (timeout_ns) |ns| relativeTime(ns) else null;
    var count: u32 = 0;
    const status = win32.NtRemoveIoCompletionEx(
        handleOf(port),
        completions.ptr,
        @intCast(completions.len),
        &count,
        if (timeout) |*t| t else null,
        @intFromBool(is_alertable),
    );
    return switch (status) {
        .success => @intCast(count),
        .timeout => 0,
        .user_apc => failure(.INTR),
        else => failureOf(status),
    };
}

/// In units of 100 ns, rounded up, and negative to count from now.
fn relativeTime(duration_ns: u64) i64 {
    return -@as(i64, @intCast(duration_ns / 100 + @intFromBool(duration_ns % 100 != 0)));
}

fn failureOf(status: win32.Status) i32 {
    return failure(fromSystem(win32.RtlNtStatusToDosError(status)));
}

/// What AFD reports of a socket.
pub const PollEvent = struct {
    pub const receive: u32 = 0x0001;
    pub const send: u32 = 0x0004;
    /// The peer will send nothing any more.
    pub const disconnect: u32 = 0x0008;
    pub const abort: u32 = 0x0010;
    /// The socket was closed in this process.
    pub const local_close: u32 = 0x0020;
    pub const accept: u32 = 0x0080;
    pub const connect_fail: u32 = 0x0100;
};

/// A poll of one socket. Between `pollStart` and its completion the memory is the system's.
pub const Poll = extern struct {
    io_status: win32.IoStatus,
    timeout: i64,
    socket_count: u32,
    is_exclusive: u32,
    socket: win32.SOCKET,
    events: u32,
    status: win32.Status,

    const info_size = @sizeOf(Poll) - @offsetOf(Poll, "timeout");
};

/// A way to AFD whose polls complete on `port`. Each serves a few sockets: to cancel one of its polls, the system looks
/// through all of them.
pub fn pollerOpen(port: i32) i32 {
    const path = std.unicode.utf8ToUtf16LeStringLiteral("\\Device\\Afd\\asyncdispatch");
    const name: win32.UnicodeString = .{ .size = path.len * 2, .capacity = path.len * 2, .text = path };
    const synchronize = 0x0010_0000;
    const share_all = 7;
    const open_existing = 1;
    var handle: win32.HANDLE = undefined;
    var io_status: win32.IoStatus = .{};
    const attributes: win32.ObjectAttributes = .{ .name = &name };
    const status = win32.NtCreateFile(&handle, synchronize, &attributes, &io_status, null, 0, share_all, open_existing, 0, null, 0);
    if (status.isError()) return failureOf(status);
    const poller = descriptors.waitableOf(handle);
    if (poller < 0) return poller;
    const skip_event_of_the_handle = 2;
    const is_attached = win32.CreateIoCompletionPort(handle, handleOf(port), 0, 0) != null and
        win32.SetFileCompletionNotificationModes(handle, skip_event_of_the_handle) != 0;
    if (is_attached) return poller;
    const code = descriptors.lastFailure();
    _ = descriptors.close(poller);
    return code;
}

/// Begins a poll for `events`, whose completion has `context`, even if it is there at once. EBADF when the socket is
/// gone; after an errno no completion comes.
pub fn pollStart(poller: i32, poll: *Poll, base: i32, events: u32, context: *anyopaque) i32 {
    poll.* = .{
        .io_status = .{ .status = .pending },
        .timeout = std.math.maxInt(i64), // for ever
        .socket_count = 1,
        .is_exclusive = 0,
        .socket = @intCast(base),
        .events = events | PollEvent.local_close,
        .status = .success,
    };
    const control = 0x0001_2024; // IOCTL_AFD_POLL
    const info = &poll.timeout;
    const size = Poll.info_size;
    const status = win32.NtDeviceIoControlFile(handleOf(poller), null, null, context, &poll.io_status, control, info, size, info, size);
    return if (status.isError()) failureOf(status) else 0;
}

/// The completion of a poll that is pending comes at once, if it has not come already.
pub fn pollCancel(poller: i32, poll: *Poll) void {
    var io_status: win32.IoStatus = .{};
    _ = win32.NtCancelIoFileEx(handleOf(poller), &poll.io_status, &io_status);
}

/// The events of a poll that has completed; EBADF when the socket is gone, ECANCELED when it was cancelled before.
pub fn pollResult(poll: *const Poll) i32 {
    if (poll.io_status.status.isError()) return failureOf(poll.io_status.status);
    if (poll.socket_count == 0) return 0;
    return if (poll.events & PollEvent.local_close != 0) failure(.BADF) else @intCast(poll.events);
}

/// 0 when the descriptor is one that can be waited for.
pub fn checkWaitable(descriptor: i32) i32 {
    if (descriptor & descriptors.waitable_tag != 0) return descriptors.checkOpen(descriptor);
    var kind: [4]u8 = undefined;
    var size: c_int = kind.len;
    const SOL = std.os.windows.ws2_32.SOL;
    const SO = std.os.windows.ws2_32.SO;
    const failed = win32.getsockopt(descriptors.socketOf(descriptor), SOL.SOCKET, SO.TYPE, &kind, &size);
    return if (failed == 0) 0 else descriptors.lastFailureOf(descriptor);
}

/// The socket as AFD knows it, which is another one where a layered provider stands in front of it. Some of those
/// refuse the proper question, and answer one of the others.
pub fn baseSocket(descriptor: i32) i32 {
    const socket = descriptors.socketOf(descriptor);
    if (askBase(socket, 0x4800_0022)) |base| return base; // SIO_BASE_HANDLE
    const code = descriptors.lastFailureOf(descriptor);
    // SIO_BSP_HANDLE_SELECT, SIO_BSP_HANDLE_POLL, SIO_BSP_HANDLE
    for ([_]u32{ 0x4800_001c, 0x4800_001d, 0x4800_001b }) |question| {
        const base = askBase(socket, question) orelse continue;
        if (base != descriptor) return base;
    }
    return code;
}

fn askBase(socket: win32.SOCKET, question: u32) ?i32 {
    var base: win32.SOCKET = undefined;
    var size: u32 = undefined;
    const failed = win32.WSAIoctl(socket, question, null, 0, &base, @sizeOf(win32.SOCKET), &size, null, null);
    return if (failed != 0) null else std.math.cast(i32, base);
}

/// A further handle of an event or a process.
pub fn waitableCopy(descriptor: i32) i32 {
    const handle = handleOf(descriptor) orelse return failure(.BADF);
    const this_process = win32.invalid_handle;
    const same_access = 2;
    var copy: ?win32.HANDLE = null;
    const is_copied = win32.DuplicateHandle(this_process, handle, this_process, &copy, 0, 0, same_access) != 0;
    return if (is_copied) descriptors.waitableOf(copy) else descriptors.lastFailure();
}

pub fn isSignalled(descriptor: i32) bool {
    return if (handleOf(descriptor)) |handle| win32.WaitForSingleObject(handle, 0) == 0 else false;
}

pub const Wait = win32.HANDLE;

/// Calls `callback` once, in a thread of the system, when what the descriptor names is signalled.
pub fn waitStart(wait: *?Wait, descriptor: i32, callback: *const win32.WaitCallback, context: *anyopaque) i32 {
    const handle = handleOf(descriptor) orelse return failure(.BADF);
    const in_wait_thread = 0x04;
    const only_once = 0x08;
    const flags = in_wait_thread | only_once;
    const is_registered = win32.RegisterWaitForSingleObject(wait, handle, callback, context, win32.infinite, flags) != 0;
    return if (is_registered) 0 else descriptors.lastFailure();
}

/// Ends a wait, whether it has been called back or not. No call runs any more when this returns.
pub fn waitEnd(wait: Wait) void {
    _ = win32.UnregisterWaitEx(wait, win32.invalid_handle);
}

test relativeTime {
    try std.testing.expectEqual(0, relativeTime(0));
    try std.testing.expectEqual(-1, relativeTime(1));
    try std.testing.expectEqual(-15_000, relativeTime(1_500_000));
}
