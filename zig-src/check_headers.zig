//! Compiled, not run, for macOS and FreeBSD: what we declare ourselves agrees with the system's own headers.

const std = @import("std");
const kevent_file = @import("os/kevent.zig");
const bsd = @import("os/bsd.zig");
const header = @cImport({
    @cInclude("sys/types.h");
    @cInclude("sys/event.h");
    @cInclude("sys/ioctl.h");
    @cInclude("sys/socket.h");
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
    requireLayout(kevent_file.Kevent, header.struct_kevent);
    requireLayout(bsd.addrinfo, header.struct_addrinfo);
    requireLayout(bsd.Linger, header.struct_linger);
}

fn requireNumbers(comptime prefix: []const u8, comptime Ours: type) void {
    for (@typeInfo(Ours).@"struct".decls) |declaration| {
        const name = prefix ++ declaration.name;
        const ours = @field(Ours, declaration.name);
        if (ours == 0) continue; // the system has none
        const theirs = @field(header, name);
        if (ours != theirs) @compileError(std.fmt.comptimePrint("{s} is {d}, not {d}", .{ name, theirs, ours }));
    }
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
