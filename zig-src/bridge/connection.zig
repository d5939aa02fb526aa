//! The bell where a host watches only what it has opened or accepted itself: a connection to a port of the host's.

const std = @import("std");
const os = @import("../os.zig").os;

pub const Bell = struct {
    end: i32,
    /// The port by which the host knows this connection from any other.
    host_end: i32,

    pub fn open(self: *Bell, host_port: u16) i32 {
        const end = os.connectLoopback(host_port);
        if (end < 0) return end;
        const port = prepare(end);
        if (port < 0) _ = os.close(end) else self.* = .{ .end = end, .host_end = port };
        return @min(port, 0);
    }

    /// The own port.
    fn prepare(end: i32) i32 {
        const yes: i32 = 1;
        // It is closed without a trace: the system keeps the port of a connection that ends properly for minutes.
        const abortive: os.Linger = .{ .enabled = 1, .seconds = 0 };
        var address: os.sockaddr.in = undefined;
        var length: u32 = @sizeOf(os.sockaddr.in);
        const codes = [_]i32{
            os.setOption(end, os.IPPROTO.TCP, os.TCP.NODELAY, std.mem.asBytes(&yes)),
            os.setOption(end, os.SOL.SOCKET, os.Linger.option, std.mem.asBytes(&abortive)),
            os.localAddress(end, @ptrCast(&address), &length),
        };
        for (codes) |code| {
            if (code < 0) return code;
        }
        return std.mem.bigToNative(u16, address.port);
    }

    /// The host's end is none of ours at any time.
    pub fn reclaim(_: *Bell) void {}
};
