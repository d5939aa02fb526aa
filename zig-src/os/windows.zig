//! Windows's calls, one thin wrapper each. Every result is the value or `-errno`, in the numbers of `windows/errno.zig`.

const std = @import("std");
const abi = @import("../abi.zig");
const win32 = @import("windows/win32.zig");
const descriptors = @import("windows/descriptor.zig");
const errnos = @import("windows/errno.zig");
const readiness = @import("windows/readiness.zig");
const ws2_32 = std.os.windows.ws2_32;
const handleOf = descriptors.handleOf;
const lastFailure = descriptors.lastFailure;
const lastFailureOf = descriptors.lastFailureOf;
const socketOf = descriptors.socketOf;

pub const Errno = errnos.Errno;
pub const AF = ws2_32.AF;
pub const sockaddr = ws2_32.sockaddr;
pub const SO = ws2_32.SO;
pub const SOL = ws2_32.SOL;
pub const IPPROTO = ws2_32.IPPROTO;
pub const TCP = ws2_32.TCP;
pub const MSG = ws2_32.MSG;
pub const Linger = extern struct {
    enabled: u16,
    seconds: u16,

    pub const option = SO.LINGER;
};
pub const has_abstract_names = false;

pub const Lock = descriptors.Lock;
pub const failure = descriptors.failure;
pub const close = descriptors.close;
pub const checkOpen = descriptors.checkOpen;
pub const bury = descriptors.bury;

pub const waitable_tag = descriptors.waitable_tag;
pub const Completion = readiness.Completion;
pub const portCreate = readiness.portCreate;
pub const portPost = readiness.portPost;
pub const portWait = readiness.portWait;
pub const portWaitRousably = readiness.portWaitRousably;
pub const Poll = readiness.Poll;
pub const PollEvent = readiness.PollEvent;
pub const pollerOpen = readiness.pollerOpen;
pub const pollStart = readiness.pollStart;
pub const pollCancel = readiness.pollCancel;
pub const pollResult = readiness.pollResult;
pub const baseSocket = readiness.baseSocket;
pub const checkWaitable = readiness.checkWaitable;
pub const waitableCopy = readiness.waitableCopy;
pub const Wait = readiness.Wait;
pub const isSignalled = readiness.isSignalled;
pub const waitStart = readiness.waitStart;
pub const waitEnd = readiness.waitEnd;

pub fn monotonicNanoseconds() u64 {
    var ticks: i64 = undefined;
    var ticks_per_s: i64 = undefined;
    _ = win32.RtlQueryPerformanceCounter(&ticks);
    _ = win32.RtlQueryPerformanceFrequency(&ticks_per_s);
    const rate: u64 = @intCast(ticks_per_s);
    const total: u64 = @intCast(ticks);
    return total / rate * std.time.ns_per_s + total % rate * std.time.ns_per_s / rate;
}

pub fn yield() void {
    _ = win32.SwitchToThread();
}

pub fn writeStandardError(text: []const u8) void {
    const standard_error: u32 = @bitCast(@as(i32, -12));
    var written: u32 = undefined;
    _ = win32.WriteFile(win32.GetStdHandle(standard_error), text.ptr, @intCast(text.len), &written, null);
}

pub fn setInheritable(descriptor: i32, inheritable: bool) i32 {
    const inherit_flag = 1;
    const flags: u32 = if (inheritable) inherit_flag else 0;
    const is_set = win32.SetHandleInformation(handleOf(descriptor), inherit_flag, flags) != 0;
    return if (is_set) 0 else lastFailure();
}

/// What Windows allows a process, if it has the memory.
pub fn descriptorLimit() i32 {
    return 1 << 24;
}

/// Zeroed memory; null when there is none.
pub fn reserve(size: usize) ?[]align(std.heap.page_size_min) u8 {
    const memory = std.heap.PageAllocator.map(size, .fromByteUnits(std.heap.page_size_min)) orelse return null;
    return @alignCast(memory[0..size]);
}

pub fn release(memory: []align(std.heap.page_size_min) u8) void {
    std.heap.PageAllocator.unmap(memory);
}

/// An event that stays signalled until it is cleared.
pub fn eventCreate() i32 {
    const manual_reset = 1;
    return descriptors.waitableOf(win32.CreateEventW(null, manual_reset, 0, null));
}

pub fn eventRaise(event: i32) i32 {
    return if (win32.SetEvent(handleOf(event)) != 0) 0 else lastFailure();
}

/// EAGAIN when it was not raised.
pub fn eventClear(event: i32) i32 {
    var was_raised: i32 = 0;
    if (win32.NtResetEvent(handleOf(event), &was_raised).isError()) return failure(.BADF);
    return if (was_raised != 0) 0 else failure(.AGAIN);
}

/// Signalled once the process has ended. Where the status could not be had later, it would be filled in here.
pub fn processOpen(pid: i32, _: *abi.ProcessStatus) i32 {
    if (pid <= 0) return failure(.INVAL);
    const query_limited_information = 0x1000;
    const synchronize = 0x0010_0000;
    const handle = win32.OpenProcess(query_limited_information | synchronize, 0, @intCast(pid)) orelse {
        const code = lastFailure();
        return if (code == failure(.INVAL)) failure(.SRCH) else code;
    };
    const process = descriptors.waitableOf(handle);
    // The system overlooks the last two bits of the number.
    if (process < 0 or win32.GetProcessId(handle) == pid) return process;
    _ = close(process);
    return failure(.SRCH);
}

/// Fills `exit` in when the process has ended.
pub fn processStatus(process: i32, exit: *abi.ProcessStatus) i32 {
    if (!isSignalled(process)) return checkOpen(process);
    var exit_code: u32 = undefined;
    if (win32.GetExitCodeProcess(handleOf(process), &exit_code) == 0) return lastFailure();
    exit.* = .{ .known = 1, .exit_code = @bitCast(exit_code) };
    return 0;
}

var is_winsock_started: std.atomic.Value(bool) = .init(false);

/// Winsock counts how often it was started; once more does no harm.
fn startWinsock() i32 {
    if (is_winsock_started.load(.acquire)) return 0;
    const version_2_2 = 0x0202;
    var data: [512]u8 align(8) = undefined;
    const code = win32.WSAStartup(version_2_2, &data);
    if (code != 0) return failure(.NETDOWN);
    is_winsock_started.store(true, .release);
    return 0;
}

/// 0 or a count, of a call of Winsock.
fn result(descriptor: i32, value: c_int) i32 {
    return if (value >= 0) value else lastFailureOf(descriptor);
}

/// A socket that never blocks, as every one that `accept` gives.
pub fn socket(family: u32, socket_type: u32, protocol: u32, inheritable: bool) i32 {
    // Windows has UNIX sockets too, of one kind and without names of peers.
    if (family == AF.UNIX) return @intFromEnum(abi.Code.not_supported);
    const failed = startWinsock();
    if (failed < 0) return failed;
    const overlapped = 0x01;
    const no_inherit: u32 = if (inheritable) 0 else 0x80;
    const new = win32.WSASocketW(@bitCast(family), @bitCast(socket_type), @bitCast(protocol), null, 0, overlapped | no_inherit);
    const descriptor = prepared(new);
    if (descriptor < 0) return descriptor;
    if (socket_type == ws2_32.SOCK.DGRAM) {
        setReport(descriptor, REFUSALS, false);
        setReport(descriptor, UNREACHABLE, false);
    }
    // As on Linux, one for IPv6 also speaks IPv4.
    const no: win32.BOOL = 0;
    if (family == AF.INET6) _ = setOption(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, std.mem.asBytes(&no));
    return descriptor;
}

const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 27;

fn prepared(new: win32.SOCKET) i32 {
    if (new == win32.invalid_socket) return lastFailure();
    const set_nonblocking = 0x8004_667e; // FIONBIO
    var is_nonblocking: u32 = 1;
    const failed = win32.ioctlsocket(new, set_nonblocking, &is_nonblocking) != 0;
    const code = if (failed) lastFailure() else std.math.cast(i32, new) orelse failure(.MFILE);
    if (code < 0) _ = win32.closesocket(new);
    return code;
}

const REFUSALS = 0x9800_000c; // SIO_UDP_CONNRESET
const UNREACHABLE = 0x9800_000f; // SIO_UDP_NETRESET

/// Whether a datagram that did not arrive makes a later receive fail. Elsewhere only connected sockets do that; here it
/// is the rule, under which one dead peer ends a server. What has no such switch needs none.
fn setReport(descriptor: i32, which: u32, enabled: bool) void {
    const value: win32.BOOL = @intFromBool(enabled);
    var size: u32 = undefined;
    _ = win32.WSAIoctl(socketOf(descriptor), which, &value, @sizeOf(win32.BOOL), null, 0, &size, null, null);
}

/// Of a call with an address.
fn addressed(descriptor: i32, value: c_int, address: *const sockaddr) i32 {
    const code = result(descriptor, value);
    if (code >= 0 or code == failure(.AGAIN)) return code;
    // Each family has an error of its own for the addresses of others.
    const family = socketFamily(descriptor);
    return if (family >= 0 and family != address.family) failure(.AFNOSUPPORT) else code;
}

pub fn bind(descriptor: i32, address: *const sockaddr, length: u32) i32 {
    return addressed(descriptor, win32.bind(socketOf(descriptor), address, @intCast(length)), address);
}

pub fn listen(descriptor: i32, backlog: i32) i32 {
    return result(descriptor, win32.listen(socketOf(descriptor), backlog));
}

pub fn connect(descriptor: i32, address: *const sockaddr, length: u32) i32 {
    const code = addressed(descriptor, win32.connect(socketOf(descriptor), address, @intCast(length)), address);
    // Of those that do not block, only one for datagrams is connected at once.
    if (code == 0) setReport(descriptor, REFUSALS, true);
    return if (code == failure(.AGAIN)) failure(.INPROGRESS) else code;
}

/// A connection to a port of this machine where somebody listens. Also to be accepted later: it blocks no longer than
/// the system takes to answer.
pub fn connectLoopback(port: u16) i32 {
    const failed = startWinsock();
    if (failed < 0) return failed;
    const overlapped_and_not_inherited = 0x81;
    const new = win32.WSASocketW(AF.INET, ws2_32.SOCK.STREAM, IPPROTO.TCP, null, 0, overlapped_and_not_inherited);
    if (new == win32.invalid_socket) return lastFailure();
    const address: sockaddr.in = .{
        .port = std.mem.nativeToBig(u16, port),
        .addr = std.mem.nativeToBig(u32, 0x7f00_0001),
    };
    if (win32.connect(new, @ptrCast(&address), @sizeOf(sockaddr.in)) == 0) return prepared(new);
    const code = lastFailure();
    _ = win32.closesocket(new);
    return code;
}

pub fn accept(descriptor: i32, address: *sockaddr, length: *u32, inheritable: bool) i32 {
    const new = win32.accept(socketOf(descriptor), address, @ptrCast(length));
    if (new == win32.invalid_socket) {
        const code = lastFailureOf(descriptor);
        // Its peer is gone, and may not even be named any more.
        return if (code == failure(.NOTCONN) or code == failure(.CONNRESET)) failure(.CONNABORTED) else code;
    }
    const accepted = prepared(new);
    if (accepted < 0) return accepted;
    const code = setInheritable(accepted, inheritable);
    if (code < 0) _ = close(accepted);
    return if (code < 0) code else accepted;
}

/// Of a socket that is not bound yet, the address of nobody, as elsewhere.
pub fn localAddress(descriptor: i32, address: *sockaddr, length: *u32) i32 {
    const code = result(descriptor, win32.getsockname(socketOf(descriptor), address, @ptrCast(length)));
    if (code != failure(.INVAL)) return code;
    const family = socketFamily(descriptor);
    if (family < 0) return family;
    length.* = if (family == AF.INET6) @sizeOf(sockaddr.in6) else @sizeOf(sockaddr.in);
    @memset(@as([*]u8, @ptrCast(address))[0..length.*], 0);
    address.family = @intCast(family);
    return 0;
}

pub fn peerAddress(descriptor: i32, address: *sockaddr, length: *u32) i32 {
    return result(descriptor, win32.getpeername(socketOf(descriptor), address, @ptrCast(length)));
}

/// The family of a socket, bound or not.
pub fn socketFamily(descriptor: i32) i32 {
    var info: win32.ProtocolInfo = undefined;
    const code = getOption(descriptor, SOL.SOCKET, SO.PROTOCOL_INFOW, std.mem.asBytes(&info));
    return if (code < 0) code else info.family;
}

/// As every transfer below, never blocks, unless the socket is a blocking one of somebody else that was not ready.
pub fn receive(descriptor: i32, memory: []u8, flags: u32) i32 {
    const received = win32.recv(socketOf(descriptor), memory.ptr, @intCast(memory.len), @bitCast(flags));
    const code = result(descriptor, received);
    if (code != failure(.CONNRESET) or !isForDatagrams(descriptor)) return code;
    return failure(.CONNREFUSED); // of an earlier datagram
}

fn isForDatagrams(descriptor: i32) bool {
    var socket_type: u32 = 0;
    const code = getOption(descriptor, SOL.SOCKET, SO.TYPE, std.mem.asBytes(&socket_type));
    return code >= 0 and socket_type == ws2_32.SOCK.DGRAM;
}

/// Takes the end of datagrams that do not fit, which nobody reads: threads may share it.
var overflow: [1 << 16]u8 = undefined;

/// The length of the datagram as it was sent.
pub fn receiveFrom(descriptor: i32, memory: []u8, flags: u32, address: *sockaddr, length: *u32) i32 {
    const buffers = [_]win32.Buffer{
        .{ .length = @intCast(memory.len), .memory = memory.ptr },
        .{ .length = overflow.len, .memory = &overflow },
    };
    var received: u32 = 0;
    var all_flags = flags;
    const from: *c_int = @ptrCast(length);
    const failed = win32.WSARecvFrom(socketOf(descriptor), &buffers, buffers.len, &received, &all_flags, address, from, null, null);
    const code = result(descriptor, failed);
    // So Windows calls it that an earlier datagram was refused.
    if (code == failure(.CONNRESET)) return failure(.CONNREFUSED);
    return if (code < 0) code else @intCast(received);
}

/// The number of bytes that can be received at once; of datagrams, Windows counts all.
pub fn available(descriptor: i32) i32 {
    const count_readable = 0x4004_667f; // FIONREAD
    var count: u32 = 0;
    const failed = result(descriptor, win32.ioctlsocket(socketOf(descriptor), count_readable, &count));
    return if (failed < 0) failed else @intCast(@min(count, std.math.maxInt(i32)));
}

pub fn send(descriptor: i32, memory: []const u8, flags: u32) i32 {
    return result(descriptor, win32.send(socketOf(descriptor), memory.ptr, @intCast(memory.len), @bitCast(flags)));
}

pub fn sendTo(descriptor: i32, memory: []const u8, flags: u32, address: *const sockaddr, length: u32) i32 {
    const size = std.math.cast(c_int, memory.len) orelse return failure(.MSGSIZE);
    const sent = win32.sendto(socketOf(descriptor), memory.ptr, size, @bitCast(flags), address, @intCast(length));
    return addressed(descriptor, sent, address);
}

pub fn getOption(descriptor: i32, level: i32, name: u32, value: []u8) i32 {
    // Some options fill one byte of the four.
    @memset(value, 0);
    var length: c_int = @intCast(value.len);
    const code = result(descriptor, win32.getsockopt(socketOf(descriptor), level, @bitCast(name), value.ptr, &length));
    if (code < 0 or level != SOL.SOCKET or name != SO.ERROR) return code;
    const error_code = std.mem.readInt(u32, value[0..4], .little);
    const errno = if (error_code == 0) 0 else @intFromEnum(errnos.fromSystem(error_code));
    std.mem.writeInt(u32, value[0..4], errno, .little);
    return 0;
}

pub fn setOption(descriptor: i32, level: i32, name: u32, value: []const u8) i32 {
    const size: c_int = @intCast(value.len);
    return result(descriptor, win32.setsockopt(socketOf(descriptor), level, @bitCast(name), value.ptr, size));
}

pub const Thread = struct {
    handle: win32.HANDLE,

    /// Returns 0 or a negative code. The thread runs until `run` returns; then `join` it, unless it was detached.
    pub fn start(self: *Thread, run: *const win32.ThreadFunction, context: ?*anyopaque) i32 {
        // It grows; what it begins with is charged at once, and is 2 MiB by default in Bun's executable.
        const initial_stack = 64 << 10;
        self.handle = win32.CreateThread(null, initial_stack, run, context, 0, null) orelse return lastFailure();
        return 0;
    }

    pub fn join(self: Thread) void {
        _ = win32.WaitForSingleObject(self.handle, win32.infinite);
        self.detach();
    }

    pub fn detach(self: Thread) void {
        _ = win32.CloseHandle(self.handle);
    }

    /// Sleeps until it is roused, or was before.
    pub fn rest() void {
        _ = win32.SleepEx(win32.infinite, alertable);
    }

    /// Ends the rest of the thread or its `portWaitRousably`, or the next one.
    pub fn rouse(self: Thread) i32 {
        return if (win32.QueueUserAPC(onRoused, self.handle, 0) != 0) 0 else lastFailure();
    }

    const alertable = 1;

    fn onRoused(_: usize) callconv(.winapi) void {}
};

pub const addrinfo = win32.addrinfo;
pub const freeaddrinfo = win32.FreeAddrInfoW;
pub const AI_V4MAPPED = 0x800;

/// 0, or an error of Winsock.
pub fn getaddrinfo(name: [*:0]const u8, _: ?[*:0]const u8, hints: *const addrinfo, answers: *?*addrinfo) c_int {
    const network_down = 10_050;
    const host_not_found = 11_001;
    if (startWinsock() < 0) return network_down;
    const text = std.mem.span(name);
    var wide: [1 << 11]u16 = undefined;
    if (text.len >= wide.len) return host_not_found;
    const length = std.unicode.utf8ToUtf16Le(&wide, text) catch return host_not_found;
    wide[length] = 0;
    return win32.GetAddrInfoW(wide[0..length :0], null, hints, answers);
}

/// Winsock's errors of a lookup stand for themselves.
pub fn lookupErrno(_: c_int) i32 {
    return 0;
}

pub fn gai_strerror(status: c_int) ?[*:0]const u8 {
    return switch (status) {
        8 => "not enough memory",
        10_022 => "invalid argument",
        10_047 => "address family not supported",
        10_050 => "the network is down",
        11_001 => "no such host is known",
        11_002 => "no answer, for now",
        11_003 => "the lookup failed for good",
        11_004 => "the name has no address of the requested kind",
        else => "unknown error",
    };
}
