//! What the tests need of Windows.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const socket = @import("../socket.zig");
const win32 = @import("../os/windows/win32.zig");
const descriptors = @import("../os/windows/descriptor.zig");

pub const any_backend: abi.Backend = .iocp;

/// A socket that listens on a port of its own.
const Listener = struct {
    socket: i32,
    address: abi.Address,

    fn init() !Listener {
        const listener = try openStream();
        errdefer _ = os.close(listener);
        var address: abi.Address = .{ .domain = @intFromEnum(abi.Domain.inet), .length = 4 };
        address.bytes[0..4].* = .{ 127, 0, 0, 1 };
        _ = try opened(socket.bind(listener, &address));
        _ = try opened(os.listen(listener, 1));
        _ = try opened(socket.localAddress(listener, &address));
        return .{ .socket = listener, .address = address };
    }

    fn deinit(self: Listener) void {
        _ = os.close(self.socket);
    }

    fn accept(self: Listener, peer: *abi.Address) !i32 {
        while (true) {
            const code = socket.accept(self.socket, peer, false);
            if (code != os.failure(.AGAIN)) return opened(code);
            os.yield();
        }
    }
};

fn openStream() !i32 {
    return opened(socket.open(@intFromEnum(abi.Domain.inet), @intFromEnum(abi.SocketType.stream), 0, false));
}

fn opened(code: i32) !i32 {
    return if (code < 0) error.NoSocket else code;
}

/// Two sockets that are connected with each other.
pub const SocketPair = struct {
    ends: [2]i32,

    pub fn init() !SocketPair {
        const listener: Listener = try .init();
        defer listener.deinit();
        const client = try openStream();
        errdefer _ = os.close(client);
        const code = socket.connect(client, &listener.address);
        if (code < 0 and code != os.failure(.INPROGRESS)) return error.NoConnection;
        var peer: abi.Address = undefined;
        const server = try listener.accept(&peer);
        errdefer _ = os.close(server);
        while (socket.peerAddress(client, &peer) == os.failure(.NOTCONN)) os.yield();
        return .{ .ends = .{ client, server } };
    }

    pub fn deinit(self: SocketPair) void {
        for (self.ends) |end| _ = os.close(end);
    }
};

/// Whom a bell rings.
pub const BellHost = struct {
    listener: Listener,
    port: u16,

    pub fn init() !BellHost {
        const listener: Listener = try .init();
        return .{ .listener = listener, .port = @intCast(listener.address.port) };
    }

    /// The descriptor that is rung.
    pub fn take(self: BellHost, host_end: i32) !i32 {
        defer self.listener.deinit();
        var peer: abi.Address = undefined;
        const taken = try self.listener.accept(&peer);
        try std.testing.expectEqual(host_end, @as(i32, @intCast(peer.port)));
        return taken;
    }
};

pub fn becomesReadable(descriptor: i32, timeout_ms: u32) bool {
    const readable = 0x0300;
    var entry: PollEntry = .{ .socket = descriptors.socketOf(descriptor), .events = readable };
    return WSAPoll(@ptrCast(&entry), 1, @intCast(timeout_ms)) == 1;
}

const PollEntry = extern struct { socket: win32.SOCKET, events: i16, revents: i16 = 0 };

/// Sockets, since nothing else can be waited for in one direction.
pub const Pipe = struct {
    reader: i32,
    writer: i32,

    pub fn init() !Pipe {
        const pair: SocketPair = try .init();
        return .{ .reader = pair.ends[0], .writer = pair.ends[1] };
    }

    pub fn deinit(self: Pipe) void {
        _ = os.close(self.reader);
        _ = os.close(self.writer);
    }

    pub fn put(self: Pipe) !void {
        try std.testing.expectEqual(1, os.send(self.writer, "x", 0));
    }

    pub fn take(self: Pipe) !void {
        var byte: [1]u8 = undefined;
        try std.testing.expectEqual(1, os.receive(self.reader, &byte, 0));
    }

    pub fn fill(self: Pipe) void {
        const block: [1 << 16]u8 = @splat(0);
        while (os.send(self.writer, &block, 0) > 0) {}
    }
};

/// What nobody can wait for: a folder is opened like a file here.
pub fn openUnwaitable(comptime which: enum { file, folder }) !i32 {
    const path = if (which == .file) "C:\\windows\\win.ini" else "C:\\windows";
    const wide = std.unicode.utf8ToUtf16LeStringLiteral(path);
    const read_only = 0x8000_0000;
    const share_all = 7;
    const open_existing = 3;
    const also_folders = 0x0200_0000;
    const handle = CreateFileW(wide, read_only, share_all, null, open_existing, also_folders, null);
    return if (handle == win32.invalid_handle) error.NoFile else @intCast(@intFromPtr(handle));
}

pub fn closeUnwaitable(descriptor: i32) void {
    _ = win32.CloseHandle(descriptors.handleOf(descriptor));
}

pub const unwaitable_errno: os.Errno = .NOTSOCK;

/// A second number for the same socket. Windows chooses it.
pub fn duplicate(descriptor: i32, _: i32) !i32 {
    const this_process: u32 = @intCast(std.os.windows.GetCurrentProcessId());
    var info: win32.ProtocolInfo = undefined;
    if (WSADuplicateSocketW(descriptors.socketOf(descriptor), this_process, &info) != 0) return error.NoDescriptor;
    const from_info = -1;
    const copy = win32.WSASocketW(from_info, from_info, from_info, &info, 0, 0);
    return if (copy == win32.invalid_socket) error.NoDescriptor else @intCast(copy);
}

/// Opens something that is not readable under a number that is free, if Windows gives that number out soon.
pub fn openIdleAt(number: i32) !void {
    var others: [16]i32 = undefined;
    var count: usize = 0;
    defer for (others[0..count]) |other| {
        _ = os.close(other);
    };
    while (count < others.len) {
        const new = socket.open(@intFromEnum(abi.Domain.inet), @intFromEnum(abi.SocketType.datagram), 0, false);
        if (new == number) return;
        others[count] = new;
        count += 1;
    }
    return error.SkipZigTest; // Windows gave the number to nobody
}

/// The same as long as as many are opened as closed. Wine cannot count them.
pub fn descriptorMark() !i32 {
    var count: i32 = 0;
    for (1..1000) |place| count += @intFromBool(os.checkOpen(@intCast(4 * place)) == 0);
    return count;
}

pub fn isInheritable(descriptor: i32) bool {
    var flags: u32 = 0;
    _ = win32.GetHandleInformation(descriptors.handleOf(descriptor), &flags);
    return flags & 1 != 0;
}

pub fn shutdownWriting(descriptor: i32) void {
    _ = win32.shutdown(descriptors.socketOf(descriptor), 1);
}

extern "kernel32" fn CreateFileW([*:0]const u16, u32, u32, ?*anyopaque, u32, u32, ?win32.HANDLE) callconv(.winapi) win32.HANDLE;
extern "ws2_32" fn WSADuplicateSocketW(win32.SOCKET, u32, *win32.ProtocolInfo) callconv(.winapi) c_int;
extern "ws2_32" fn WSAPoll([*]PollEntry, u32, ms: c_int) callconv(.winapi) c_int;
