//! Picks the file of this operating system. Every call in there is a thin wrapper whose result is the value or
//! `-errno`, in the system's own numbers.

const builtin = @import("builtin");

pub const os = switch (builtin.os.tag) {
    .linux => @import("os/linux.zig"),
    .macos, .freebsd => @import("os/bsd.zig"),
    .windows => @import("os/windows.zig"),
    else => |tag| @compileError("no os/ file for " ++ @tagName(tag)),
};

/// What the portable code takes from each of them. What one backend alone needs is not here, nor what only
/// POSIX has: `pselect`, duplicates, and signals.
const required = .{
    "Errno",       "Lock",               "failure",      "monotonicNanoseconds",
    "yield",       "writeStandardError", "reserve",      "release",
    "close",       "checkOpen",          "Thread",       "setInheritable",
    "eventCreate", "eventRaise",         "eventClear",   "descriptorLimit",
    "processOpen", "processStatus",      "SO",           "has_abstract_names",
    "AF",          "sockaddr",           "SOL",          "AI_V4MAPPED",
    "IPPROTO",     "TCP",                "Linger",       "MSG",
    "socket",      "bind",               "listen",       "connect",
    "accept",      "localAddress",       "peerAddress",  "socketFamily",
    "receive",     "receiveFrom",        "available",    "send",
    "sendTo",      "getOption",          "setOption",    "addrinfo",
    "getaddrinfo", "freeaddrinfo",       "gai_strerror", "lookupErrno",
};

comptime {
    for (required) |name| {
        if (!@hasDecl(os, name)) @compileError(@typeName(os) ++ " lacks " ++ name);
    }
}
