//! Between `abi.Address` and the system's socket addresses.

const std = @import("std");
const abi = @import("abi.zig");
const os = @import("os.zig").os;

pub const SystemAddress = extern union {
    any: os.sockaddr,
    inet: os.sockaddr.in,
    inet6: os.sockaddr.in6,
    unix: os.sockaddr.un,
    bytes: [@sizeOf(os.sockaddr.storage)]u8,
};

/// Where the bytes behind the family begin, in every address.
const family_size = @offsetOf(os.sockaddr.un, "path");

/// The system's number for an `abi.Domain`, and back. The numbers that we do not know are the system's own.
pub fn familyOf(domain: u32) u32 {
    return if (domain == @intFromEnum(abi.Domain.inet6)) os.AF.INET6 else domain;
}

pub fn domainOf(family: u32) u32 {
    return if (family == os.AF.INET6) @intFromEnum(abi.Domain.inet6) else family;
}

/// Fills `system` and returns its length.
pub fn encode(address: *const abi.Address, system: *SystemAddress) i32 {
    system.* = .{ .bytes = @splat(0) };
    const domain: abi.Domain = @enumFromInt(address.domain);
    return switch (domain) {
        .inet => encodeInet(address, &system.inet),
        .inet6 => encodeInet6(address, &system.inet6),
        .unix => encodeUnix(address, &system.unix),
        .unspecified, _ => @intFromEnum(abi.Code.not_supported),
    };
}

fn encodeInet(address: *const abi.Address, system: *os.sockaddr.in) i32 {
    if (address.length != 4) return os.failure(.INVAL);
    const port = std.math.cast(u16, address.port) orelse return os.failure(.INVAL);
    system.* = .{ .port = std.mem.nativeToBig(u16, port), .addr = @bitCast(address.bytes[0..4].*) };
    return @sizeOf(os.sockaddr.in);
}

fn encodeInet6(address: *const abi.Address, system: *os.sockaddr.in6) i32 {
    if (address.length != 16) return os.failure(.INVAL);
    const port = std.math.cast(u16, address.port) orelse return os.failure(.INVAL);
    system.* = .{
        .port = std.mem.nativeToBig(u16, port),
        .flowinfo = 0,
        .addr = address.bytes[0..16].*,
        .scope_id = address.scope,
    };
    return @sizeOf(os.sockaddr.in6);
}

fn encodeUnix(address: *const abi.Address, system: *os.sockaddr.un) i32 {
    if (address.length > system.path.len) return os.failure(.NAMETOOLONG);
    const path = address.bytes[0..address.length];
    system.family = os.AF.UNIX;
    @memcpy(system.path[0..path.len], path);
    // Paths end with a NUL where there is room. Abstract names start with one and have no end mark.
    const is_path = path.len > 0 and path[0] != 0;
    if (!is_path and !os.has_abstract_names) return @intFromEnum(abi.Code.not_supported);
    const end_mark = @intFromBool(is_path and path.len < system.path.len);
    return @intCast(family_size + path.len + end_mark);
}

/// An address of a domain that we do not know keeps its bytes as the system gave them, without the family.
pub fn decode(system: *const SystemAddress, system_length: usize, address: *abi.Address) void {
    address.* = .{};
    if (system_length < family_size) return;
    const size = @min(system_length, @sizeOf(SystemAddress));
    const family = system.any.family;
    address.domain = domainOf(family);
    if (family == os.AF.INET and size >= @sizeOf(os.sockaddr.in)) {
        address.port = std.mem.bigToNative(u16, system.inet.port);
        setBytes(address, std.mem.asBytes(&system.inet.addr));
    } else if (family == os.AF.INET6 and size >= @sizeOf(os.sockaddr.in6)) {
        address.port = std.mem.bigToNative(u16, system.inet6.port);
        address.scope = system.inet6.scope_id;
        setBytes(address, &system.inet6.addr);
    } else if (family == os.AF.UNIX) {
        setBytes(address, unixName(system.bytes[family_size..size]));
    } else {
        setBytes(address, system.bytes[family_size..size]);
    }
}

fn unixName(bytes: []const u8) []const u8 {
    const is_path = bytes.len > 0 and bytes[0] != 0;
    return if (is_path or !os.has_abstract_names) std.mem.sliceTo(bytes, 0) else bytes;
}

fn setBytes(address: *abi.Address, bytes: []const u8) void {
    const length = @min(bytes.len, address.bytes.len);
    @memcpy(address.bytes[0..length], bytes[0..length]);
    address.length = @intCast(length);
}
