//! What we call of Windows: of std's, only what it still has.

const std = @import("std");

pub const HANDLE = std.os.windows.HANDLE;
pub const SOCKET = usize;
pub const sockaddr = std.os.windows.ws2_32.sockaddr;
/// Winsock's and Win32's: 0 is false.
pub const BOOL = c_int;

pub const invalid_handle: HANDLE = @ptrFromInt(std.math.maxInt(usize));
pub const invalid_socket: SOCKET = std.math.maxInt(SOCKET);
pub const infinite: u32 = 0xffff_ffff;

/// A status of NT: an error when it is 0xc000_0000 or above.
pub const Status = enum(u32) {
    success = 0,
    user_apc = 0xc0,
    timeout = 0x102,
    pending = 0x103,
    _,

    pub fn isError(self: Status) bool {
        return @intFromEnum(self) >= 0xc000_0000;
    }
};

pub const IoStatus = extern struct { status: Status align(8) = .success, information: usize = 0 };

/// What a completion port gives: of an operation of AFD, the operation's context and status.
pub const Completion = extern struct { key: usize, context: ?*anyopaque, io_status: IoStatus };

pub const UnicodeString = extern struct { size: u16, capacity: u16, text: [*]const u16 };

pub const ObjectAttributes = extern struct {
    size: u32 = @sizeOf(ObjectAttributes),
    root: ?HANDLE = null,
    name: *const UnicodeString,
    attributes: u32 = 0,
    security: ?*anyopaque = null,
    quality: ?*anyopaque = null,
};

pub const Buffer = extern struct { length: u32, memory: [*]u8 };

pub const addrinfo = extern struct {
    flags: c_int,
    family: c_int,
    socktype: c_int,
    protocol: c_int,
    addrlen: usize = 0,
    canonname: ?[*:0]const u16 = null,
    addr: ?[*]const u8 = null,
    next: ?*addrinfo = null,
};

/// WSAPROTOCOL_INFOW, of which we want the family.
pub const ProtocolInfo = extern struct {
    before: [76]u8,
    family: i32,
    behind: [548]u8,
};

pub const ThreadFunction = fn (?*anyopaque) callconv(.c) ?*anyopaque;
pub const ApcFunction = fn (usize) callconv(.winapi) void;
pub const WaitCallback = fn (?*anyopaque, u8) callconv(.winapi) void;

pub extern "kernel32" fn CloseHandle(?HANDLE) callconv(.winapi) BOOL;
pub extern "kernel32" fn CreateEventW(?*anyopaque, manual_reset: BOOL, BOOL, ?[*:0]const u16) callconv(.winapi) ?HANDLE;
pub extern "kernel32" fn CreateIoCompletionPort(HANDLE, ?HANDLE, key: usize, threads: u32) callconv(.winapi) ?HANDLE;
/// The system wants an exit code, for which it takes the lower half of the pointer.
pub extern "kernel32" fn CreateThread(?*anyopaque, usize, *const ThreadFunction, ?*anyopaque, u32, ?*u32) callconv(.winapi) ?HANDLE;
pub extern "kernel32" fn DuplicateHandle(HANDLE, HANDLE, HANDLE, *?HANDLE, access: u32, inherit: BOOL, options: u32) callconv(.winapi) BOOL;
pub extern "kernel32" fn GetExitCodeProcess(?HANDLE, *u32) callconv(.winapi) BOOL;
pub extern "kernel32" fn GetHandleInformation(?HANDLE, *u32) callconv(.winapi) BOOL;
pub extern "kernel32" fn GetLastError() callconv(.winapi) u32;
pub extern "kernel32" fn GetProcessId(HANDLE) callconv(.winapi) u32;
pub extern "kernel32" fn GetStdHandle(u32) callconv(.winapi) ?HANDLE;
pub extern "kernel32" fn OpenProcess(access: u32, inherit: BOOL, pid: u32) callconv(.winapi) ?HANDLE;
pub extern "kernel32" fn PostQueuedCompletionStatus(?HANDLE, u32, key: usize, context: ?*anyopaque) callconv(.winapi) BOOL;
pub extern "kernel32" fn QueueUserAPC(*const ApcFunction, HANDLE, usize) callconv(.winapi) u32;
pub extern "kernel32" fn RegisterWaitForSingleObject(*?HANDLE, HANDLE, *const WaitCallback, ?*anyopaque, ms: u32, flags: u32) callconv(.winapi) BOOL;
pub extern "kernel32" fn SetEvent(?HANDLE) callconv(.winapi) BOOL;
pub extern "kernel32" fn SetFileCompletionNotificationModes(HANDLE, u8) callconv(.winapi) BOOL;
pub extern "kernel32" fn SetHandleInformation(?HANDLE, mask: u32, flags: u32) callconv(.winapi) BOOL;
pub extern "kernel32" fn SleepEx(ms: u32, alertable: BOOL) callconv(.winapi) u32;
pub extern "kernel32" fn SwitchToThread() callconv(.winapi) BOOL;
pub extern "kernel32" fn UnregisterWaitEx(HANDLE, event: ?HANDLE) callconv(.winapi) BOOL;
pub extern "kernel32" fn WaitForSingleObject(?HANDLE, ms: u32) callconv(.winapi) u32;
pub extern "kernel32" fn WriteFile(?HANDLE, [*]const u8, u32, ?*u32, ?*anyopaque) callconv(.winapi) BOOL;

pub extern "ntdll" fn NtCancelIoFileEx(?HANDLE, *IoStatus, *IoStatus) callconv(.winapi) Status;
pub extern "ntdll" fn NtCreateFile(*HANDLE, access: u32, *const ObjectAttributes, *IoStatus, ?*anyopaque, u32, share: u32, disposition: u32, u32, ?*anyopaque, u32) callconv(.winapi) Status;
pub extern "ntdll" fn NtDeviceIoControlFile(?HANDLE, ?HANDLE, ?*anyopaque, context: ?*anyopaque, *IoStatus, control: u32, *const anyopaque, u32, *anyopaque, u32) callconv(.winapi) Status;
pub extern "ntdll" fn NtRemoveIoCompletionEx(?HANDLE, [*]Completion, u32, *u32, timeout: ?*const i64, alertable: u8) callconv(.winapi) Status;
pub extern "ntdll" fn NtResetEvent(?HANDLE, previous: *i32) callconv(.winapi) Status;
pub extern "ntdll" fn RtlNtStatusToDosError(Status) callconv(.winapi) u32;
pub extern "ntdll" fn RtlQueryPerformanceCounter(*i64) callconv(.winapi) BOOL;
pub extern "ntdll" fn RtlQueryPerformanceFrequency(*i64) callconv(.winapi) BOOL;
pub extern "ntdll" fn RtlAcquireSRWLockExclusive(*?*anyopaque) callconv(.winapi) void;
pub extern "ntdll" fn RtlReleaseSRWLockExclusive(*?*anyopaque) callconv(.winapi) void;

pub extern "ws2_32" fn FreeAddrInfoW(*addrinfo) callconv(.winapi) void;
pub extern "ws2_32" fn GetAddrInfoW([*:0]const u16, ?[*:0]const u16, *const addrinfo, *?*addrinfo) callconv(.winapi) c_int;
pub extern "ws2_32" fn WSAIoctl(SOCKET, u32, ?*const anyopaque, u32, ?*anyopaque, u32, *u32, ?*anyopaque, ?*anyopaque) callconv(.winapi) c_int;
pub extern "ws2_32" fn WSARecvFrom(SOCKET, [*]const Buffer, u32, ?*u32, flags: *u32, ?*sockaddr, ?*c_int, ?*anyopaque, ?*anyopaque) callconv(.winapi) c_int;
pub extern "ws2_32" fn WSASocketW(c_int, c_int, c_int, ?*anyopaque, u32, flags: u32) callconv(.winapi) SOCKET;
pub extern "ws2_32" fn WSAStartup(version: u16, data: *[512]u8) callconv(.winapi) c_int;
pub extern "ws2_32" fn accept(SOCKET, ?*sockaddr, ?*c_int) callconv(.winapi) SOCKET;
pub extern "ws2_32" fn bind(SOCKET, *const sockaddr, c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn closesocket(SOCKET) callconv(.winapi) c_int;
pub extern "ws2_32" fn connect(SOCKET, *const sockaddr, c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn getpeername(SOCKET, *sockaddr, *c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn getsockname(SOCKET, *sockaddr, *c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn getsockopt(SOCKET, c_int, c_int, [*]u8, *c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn ioctlsocket(SOCKET, u32, *u32) callconv(.winapi) c_int;
pub extern "ws2_32" fn listen(SOCKET, c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn recv(SOCKET, [*]u8, c_int, c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn send(SOCKET, [*]const u8, c_int, c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn sendto(SOCKET, [*]const u8, c_int, c_int, *const sockaddr, c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn setsockopt(SOCKET, c_int, c_int, [*]const u8, c_int) callconv(.winapi) c_int;
pub extern "ws2_32" fn shutdown(SOCKET, c_int) callconv(.winapi) c_int;
