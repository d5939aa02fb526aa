//! Socket calls for sockets that never block. A result is a value or `-errno`.

const std = @import("std");
const abi = @import("abi.zig");
const os = @import("os.zig").os;
const address_codec = @import("address.zig");
const SystemAddress = address_codec.SystemAddress;

/// What Linux moves at most in one call.
const transfer_max = 0x7fff_f000;

pub fn open(domain: u32, socket_type: u32, protocol: u32, inheritable: bool) i32 {
    return os.socket(address_codec.familyOf(domain), socket_type, protocol, inheritable);
}

/// Puts a dead descriptor in the place of `descriptor`: what it named is closed, and every read and
/// write on the number gives EBADF, but nobody else can get the number before it is closed.
pub fn bury(descriptor: i32) i32 {
    if (@hasDecl(os, "bury")) return os.bury(descriptor);
    // Else dup3 would take a number that is free, or that is not ours.
    const code = os.checkOpen(descriptor);
    if (code < 0) return code;
    const dead = os.openDead();
    if (dead < 0) return dead;
    defer _ = os.close(dead);
    return @min(os.duplicateOver(dead, descriptor), 0);
}

pub fn bind(descriptor: i32, address: *const abi.Address) i32 {
    var system: SystemAddress = undefined;
    const length = address_codec.encode(address, &system);
    return if (length < 0) length else os.bind(descriptor, &system.any, @intCast(length));
}

/// EINPROGRESS is the normal result; what came of it is `Option.pending_error` once it is writable.
pub fn connect(descriptor: i32, address: *const abi.Address) i32 {
    var system: SystemAddress = undefined;
    const length = address_codec.encode(address, &system);
    if (length < 0) return length;
    const code = os.connect(descriptor, &system.any, @intCast(length));
    // An interrupted connect goes on in the kernel; a second call would give EALREADY.
    return if (code == os.failure(.INTR)) os.failure(.INPROGRESS) else code;
}

pub fn accept(descriptor: i32, peer: *abi.Address, inheritable: bool) i32 {
    while (true) {
        var system: SystemAddress = undefined;
        var length: u32 = @sizeOf(SystemAddress);
        const code = os.accept(descriptor, &system.any, &length, inheritable);
        if (code == os.failure(.INTR)) continue;
        if (code >= 0) address_codec.decode(&system, length, peer);
        return code;
    }
}

pub fn localAddress(descriptor: i32, address: *abi.Address) i32 {
    return readAddress(os.localAddress, descriptor, address);
}

pub fn peerAddress(descriptor: i32, address: *abi.Address) i32 {
    return readAddress(os.peerAddress, descriptor, address);
}

fn readAddress(comptime call: fn (i32, *os.sockaddr, *u32) i32, descriptor: i32, address: *abi.Address) i32 {
    var system: SystemAddress = undefined;
    var length: u32 = @sizeOf(SystemAddress);
    const code = call(descriptor, &system.any, &length);
    if (code >= 0) address_codec.decode(&system, length, address);
    return code;
}

/// The number of bytes received; 0 at the end of a stream.
pub fn receive(descriptor: i32, memory: []u8, flags: u32) i32 {
    const part = memory[0..@min(memory.len, transfer_max)];
    while (true) {
        const code = os.receive(descriptor, part, systemFlags(flags));
        if (code != os.failure(.INTR)) return code;
    }
}

/// The number of bytes sent, which may be fewer than there are behind `offset`.
pub fn send(descriptor: i32, memory: []const u8, offset: u64, flags: u32) i32 {
    if (offset > memory.len) return @intFromEnum(abi.Code.out_of_bounds);
    const rest = memory[offset..];
    const part = rest[0..@min(rest.len, transfer_max)];
    while (true) {
        const code = os.send(descriptor, part, systemFlags(flags));
        if (code != os.failure(.INTR)) return code;
    }
}

/// Receives one datagram and says whose it is; an address of domain 0 stands for a sender without a name.
/// The result is the length that the datagram had when it was sent: where `memory` is shorter, the rest is
/// lost. Not for streams, of which Linux would throw the bytes away.
pub fn receiveFrom(descriptor: i32, memory: []u8, flags: u32, sender: *abi.Address) i32 {
    const part = memory[0..@min(memory.len, transfer_max)];
    while (true) {
        var system: SystemAddress = undefined;
        var length: u32 = @sizeOf(SystemAddress);
        const code = os.receiveFrom(descriptor, part, systemFlags(flags), &system.any, &length);
        if (code == os.failure(.INTR)) continue;
        if (code >= 0) address_codec.decode(&system, length, sender);
        return code;
    }
}

/// Sends all of `memory` as one datagram, or nothing.
pub fn sendTo(descriptor: i32, memory: []const u8, target: *const abi.Address, flags: u32) i32 {
    var system: SystemAddress = undefined;
    const length = address_codec.encode(target, &system);
    if (length < 0) return length;
    while (true) {
        const code = os.sendTo(descriptor, memory, systemFlags(flags), &system.any, @intCast(length));
        if (code != os.failure(.INTR)) return code;
    }
}

pub fn getOption(descriptor: i32, number: u32, value: *i32) i32 {
    const option = std.enums.fromInt(abi.Option, number) orelse return @intFromEnum(abi.Code.not_supported);
    switch (option) {
        .domain => {
            const family = os.socketFamily(descriptor);
            if (family < 0) return family;
            value.* = @intCast(address_codec.domainOf(@intCast(family)));
            return 0;
        },
        .linger => {
            var linger: os.Linger = undefined;
            const code = readOption(descriptor, option, std.mem.asBytes(&linger));
            if (code >= 0) value.* = if (linger.enabled != 0) linger.seconds else -1;
            return code;
        },
        .send_buffer, .receive_buffer, .pending_error, .socket_type => {
            return readOption(descriptor, option, std.mem.asBytes(value));
        },
        // Some systems give the option's bit instead of 1.
        else => {
            const code = readOption(descriptor, option, std.mem.asBytes(value));
            if (code >= 0) value.* = @intFromBool(value.* != 0);
            return code;
        },
    }
}

fn readOption(descriptor: i32, option: abi.Option, value: []u8) i32 {
    const place = systemOption(option) orelse return @intFromEnum(abi.Code.not_supported);
    return os.getOption(descriptor, place.level, place.name, value);
}

pub fn setOption(descriptor: i32, number: u32, value: i32) i32 {
    const option = std.enums.fromInt(abi.Option, number) orelse return @intFromEnum(abi.Code.not_supported);
    // Nothing to set; the systems' own errors for it differ.
    if (isReadOnly(option)) return os.failure(.NOPROTOOPT);
    const place = systemOption(option) orelse return @intFromEnum(abi.Code.not_supported);
    if (option != .linger) return os.setOption(descriptor, place.level, place.name, std.mem.asBytes(&value));
    const seconds = std.math.lossyCast(@FieldType(os.Linger, "seconds"), @max(value, 0));
    const linger: os.Linger = .{ .enabled = @intFromBool(value >= 0), .seconds = seconds };
    return os.setOption(descriptor, place.level, place.name, std.mem.asBytes(&linger));
}

fn isReadOnly(option: abi.Option) bool {
    return switch (option) {
        .accept_conn, .pending_error, .domain, .socket_type => true,
        else => false,
    };
}

const SystemOption = struct { level: i32, name: u32 };

/// null where the system has none.
fn systemOption(option: abi.Option) ?SystemOption {
    const SO = os.SO;
    const name: u32 = switch (option) {
        .accept_conn => SO.ACCEPTCONN,
        .broadcast => SO.BROADCAST,
        .debug => SO.DEBUG,
        .dont_route => SO.DONTROUTE,
        .keep_alive => SO.KEEPALIVE,
        .oob_inline => SO.OOBINLINE,
        .reuse_addr => SO.REUSEADDR,
        .reuse_port => if (@hasDecl(SO, "REUSEPORT")) SO.REUSEPORT else return null,
        .no_delay => return .{ .level = os.IPPROTO.TCP, .name = os.TCP.NODELAY },
        .send_buffer => SO.SNDBUF,
        .receive_buffer => SO.RCVBUF,
        .linger => os.Linger.option,
        .pending_error => SO.ERROR,
        .domain => unreachable, // no option on every system
        .socket_type => SO.TYPE,
    };
    return .{ .level = os.SOL.SOCKET, .name = name };
}

fn systemFlags(flags: u32) u32 {
    return if (flags & abi.TransferFlag.peek != 0) os.MSG.PEEK else 0;
}
