//! Between `abi.Address` and the system's socket addresses.

const std = @import("std");
const linux = std.os.linux;
const abi = @import("abi.zig");
const os = @import("os/linux.zig");

pub const SystemAddress = extern union {
    any: linux.sockaddr,
    inet: linux.sockaddr.in,
    inet6: linux.sockaddr.in6,
    unix: linux.sockaddr.un,
    bytes: [@sizeOf(linux.sockaddr.storage)]u8,
};

const family_size = @sizeOf(linux.sa_family_t);

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

fn encodeInet(address: *const abi.Address, system: *linux.sockaddr.in) i32 {
    if (address.length != 4) return os.failure(.INVAL);
    const port = std.math.cast(u16, address.port) orelse return os.failure(.INVAL);
    system.* = .{ .port = std.mem.nativeToBig(u16, port), .addr = @bitCast(address.bytes[0..4].*) };
    return @sizeOf(linux.sockaddr.in);
}

fn encodeInet6(address: *const abi.Address, system: *linux.sockaddr.in6) i32 {
    if (address.length != 16) return os.failure(.INVAL);
    const port = std.math.cast(u16, address.port) orelse return os.failure(.INVAL);
    system.* = .{
        .port = std.mem.nativeToBig(u16, port),
        .flowinfo = 0,
        .addr = address.bytes[0..16].*,
        .scope_id = address.scope,
    };
    return @sizeOf(linux.sockaddr.in6);
}

fn encodeUnix(address: *const abi.Address, system: *linux.sockaddr.un) i32 {
    if (address.length > address.bytes.len) return os.failure(.NAMETOOLONG);
    system.* = .{ .path = address.bytes };
    const path = address.bytes[0..address.length];
    // Paths end with a NUL where there is room. Abstract names start with one and have no end mark.
    const is_path = path.len > 0 and path[0] != 0;
    const end_mark = @intFromBool(is_path and path.len < address.bytes.len);
    return @intCast(family_size + path.len + end_mark);
}

/// An address of a domain that we do not know keeps its bytes as the system gave them, without the family.
pub fn decode(system: *const SystemAddress, system_length: usize, address: *abi.Address) void {
    address.* = .{};
    if (system_length < family_size) return;
    const size = @min(system_length, @sizeOf(SystemAddress));
    const family = system.any.family;
    address.domain = family;
    if (family == linux.AF.INET and size >= @sizeOf(linux.sockaddr.in)) {
        address.port = std.mem.bigToNative(u16, system.inet.port);
        setBytes(address, std.mem.asBytes(&system.inet.addr));
    } else if (family == linux.AF.INET6 and size >= @sizeOf(linux.sockaddr.in6)) {
        address.port = std.mem.bigToNative(u16, system.inet6.port);
        address.scope = system.inet6.scope_id;
        setBytes(address, &system.inet6.addr);
    } else if (family == linux.AF.UNIX) {
        setBytes(address, unixName(system.bytes[family_size..size]));
    } else {
        setBytes(address, system.bytes[family_size..size]);
    }
}

fn unixName(bytes: []const u8) []const u8 {
    const is_path = bytes.len > 0 and bytes[0] != 0;
    return if (is_path) std.mem.sliceTo(bytes, 0) else bytes;
}

fn setBytes(address: *abi.Address, bytes: []const u8) void {
    const length = @min(bytes.len, address.bytes.len);
    @memcpy(address.bytes[0..length], bytes[0..length]);
    address.length = @intCast(length);
}
