//! Compiled, not run, for macOS and FreeBSD: what we declare ourselves, and what we take from std, agrees with the
//! system's own headers.

const std = @import("std");
const kevent_file = @import("os/kevent.zig");
const bsd = @import("os/bsd.zig");
const header = @cImport({
    @cInclude("sys/types.h");
    @cInclude("sys/event.h");
    @cInclude("sys/ioctl.h");
    @cInclude("sys/socket.h");
    @cInclude("sys/un.h");
    @cInclude("sys/wait.h");
    @cInclude("netinet/in.h");
    @cInclude("netinet/tcp.h");
    @cInclude("fcntl.h");
    @cInclude("netdb.h");
    @cInclude("signal.h");
});

comptime {
    requireNumbers("EV_", kevent_file.EV);
    requireNumbers("EVFILT_", kevent_file.EVFILT);
    requireNumbers("NOTE_", kevent_file.NOTE);
    requireNumbers("", bsd.numbers);
    for (.{ "ACCEPTCONN", "BROADCAST", "DEBUG", "DONTROUTE", "KEEPALIVE", "OOBINLINE" }) |name| {
        requireNumber("SO_" ++ name, @field(bsd.SO, name));
    }
    for (.{ "REUSEADDR", "REUSEPORT", "SNDBUF", "RCVBUF", "LINGER", "ERROR", "TYPE" }) |name| {
        requireNumber("SO_" ++ name, @field(bsd.SO, name));
    }
    for (.{ "INET", "INET6", "UNIX" }) |name| requireNumber("AF_" ++ name, @field(bsd.AF, name));
    for (.{ "PEEK", "DONTWAIT", "TRUNC" }) |name| requireNumber("MSG_" ++ name, @field(bsd.MSG, name));
    for (.{ "SIGINFO", "RESTART", "ONSTACK" }) |name| requireNumber("SA_" ++ name, @field(std.c.SA, name));
    requireLayout(kevent_file.Kevent, header.struct_kevent);
    requireLayout(bsd.addrinfo, header.struct_addrinfo);
    requireLayout(bsd.Linger, header.struct_linger);
    requireLayout(bsd.sockaddr.un, header.struct_sockaddr_un);
    requireLayout(bsd.sockaddr.in, header.struct_sockaddr_in);
    requireLayout(bsd.sockaddr.in6, header.struct_sockaddr_in6);
    requireLayout(bsd.SignalAction, header.struct_sigaction);
    requireLayout(bsd.SignalInfo, header.siginfo_t);
}

fn requireNumbers(comptime prefix: []const u8, comptime Ours: type) void {
    for (@typeInfo(Ours).@"struct".decls) |declaration| {
        const number = @field(Ours, declaration.name);
        if (number != 0) requireNumber(prefix ++ declaration.name, number); // 0: the system has none
    }
}

fn requireNumber(comptime name: []const u8, comptime ours: comptime_int) void {
    const theirs = @field(header, name);
    if (ours != theirs) @compileError(std.fmt.comptimePrint("{s} is {d}, not {d}", .{ name, theirs, ours }));
}

/// Fields in the same places and of the same sizes; the names differ.
fn requireLayout(comptime Ours: type, comptime Theirs: type) void {
    const ours = @typeInfo(Ours).@"struct".fields;
    const theirs = @typeInfo(Theirs).@"struct".fields;
    var agrees = @sizeOf(Ours) == @sizeOf(Theirs) and ours.len == theirs.len;
    for (ours, theirs) |our, their| {
        const same_place = @offsetOf(Ours, our.name) == @offsetOf(Theirs, their.name);
        agrees = agrees and same_place and @sizeOf(our.type) == @sizeOf(their.type);
    }
    if (!agrees) @compileError(@typeName(Ours) ++ " has another layout than the header's");
}
