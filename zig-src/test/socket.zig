//! Sockets, with the selector to wait for them.

const std = @import("std");
const linux = std.os.linux;
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const socket = @import("../socket.zig");
const support = @import("support.zig");
const Subject = support.Subject;
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const expectEqualStrings = std.testing.expectEqualStrings;
const expectCode = support.expectCode;
const expectErrno = support.expectErrno;

const stream: u32 = @intFromEnum(abi.SocketType.stream);
const datagram: u32 = @intFromEnum(abi.SocketType.datagram);

fn number(option: abi.Option) u32 {
    return @intFromEnum(option);
}

fn loopback(domain: abi.Domain) abi.Address {
    var address: abi.Address = .{ .domain = @intFromEnum(domain) };
    const bytes: []const u8 = if (domain == .inet) &.{ 127, 0, 0, 1 } else &(.{0} ** 15 ++ .{1});
    @memcpy(address.bytes[0..bytes.len], bytes);
    address.length = @intCast(bytes.len);
    return address;
}

fn unixAddress(name: []const u8) abi.Address {
    var address: abi.Address = .{ .domain = @intFromEnum(abi.Domain.unix), .length = @intCast(name.len) };
    @memcpy(address.bytes[0..name.len], name);
    return address;
}

/// Two connected sockets and the listener that made them so.
const Connection = struct {
    listener: i32,
    client: i32,
    server: i32,
    /// The client, as the listener was told.
    peer: abi.Address,

    fn init(wanted: abi.Address) !Connection {
        const subject: Subject = try .init(support.any_backend);
        defer subject.deinit();
        const listener = socket.open(wanted.domain, stream, 0, false);
        if (listener < 0) return error.SkipZigTest; // no such domain on this machine
        errdefer _ = os.close(listener);
        const bound = socket.bind(listener, &wanted);
        if (bound == os.failure(.ADDRNOTAVAIL)) return error.SkipZigTest; // no such address here
        try expectEqual(0, bound);
        try expectEqual(0, os.listen(listener, 8));
        var address: abi.Address = undefined;
        try expectEqual(0, socket.localAddress(listener, &address));

        const client = socket.open(wanted.domain, stream, 0, false);
        errdefer _ = os.close(client);
        const connected = socket.connect(client, &address);
        try expect(connected == 0 or connected == os.failure(.INPROGRESS));
        try subject.expectOnly(try subject.register(listener, support.read), support.read);
        var peer: abi.Address = undefined;
        const server = socket.accept(listener, &peer, false);
        try expect(server >= 0);
        try subject.expectOnly(try subject.register(client, support.write), support.write);
        var pending: i32 = -1;
        try expectEqual(0, socket.getOption(client, number(.pending_error), &pending));
        try expectEqual(0, pending);
        return .{ .listener = listener, .client = client, .server = server, .peer = peer };
    }

    fn deinit(self: Connection) void {
        for ([_]i32{ self.listener, self.client, self.server }) |descriptor| _ = os.close(descriptor);
    }
};

fn expectRoundTrip(address: abi.Address) !void {
    const connection: Connection = try .init(address);
    defer connection.deinit();
    var memory: [16]u8 = undefined;
    try expectErrno(.AGAIN, socket.receive(connection.server, &memory, 0));
    try expectEqual(5, socket.send(connection.client, "..hello", 2, 0));
    try expectEqual(5, socket.receive(connection.server, &memory, abi.TransferFlag.peek));
    try expectEqual(2, socket.receive(connection.server, memory[0..2], 0));
    try expectEqualStrings("he", memory[0..2]);
    try expectEqual(3, socket.receive(connection.server, &memory, 0));
    try expectEqualStrings("llo", memory[0..3]);
    support.shutdownWriting(connection.client);
    try expectEqual(0, socket.receive(connection.server, &memory, 0));
}

test "a round trip over IPv4" {
    try expectRoundTrip(loopback(.inet));
}

test "a round trip over IPv6" {
    try expectRoundTrip(loopback(.inet6));
}

test "a round trip over a UNIX socket with an abstract name" {
    if (!support.is_posix) return error.SkipZigTest; // no UNIX sockets
    try expectRoundTrip(unixAddress("\x00asyncdispatch-test"));
}

test "addresses come back as they were given" {
    const connection: Connection = try .init(loopback(.inet));
    defer connection.deinit();
    var client: abi.Address = undefined;
    var server: abi.Address = undefined;
    try expectEqual(0, socket.localAddress(connection.client, &client));
    try expectEqual(0, socket.peerAddress(connection.server, &server));
    try expectEqual(client, server);
    try expectEqual(client, connection.peer);
    try expect(client.port != 0);
}

test "paths come back as they were given" {
    if (!support.is_posix) return error.SkipZigTest; // no UNIX sockets
    var buffer: [64]u8 = undefined;
    const path = try std.fmt.bufPrint(&buffer, "/tmp/asyncdispatch-{d}.sock", .{linux.getpid()});
    const wanted = unixAddress(path);
    const unix = socket.open(wanted.domain, stream, 0, false);
    defer _ = os.close(unix);
    try expectEqual(0, socket.bind(unix, &wanted));
    buffer[path.len] = 0;
    defer _ = linux.unlink(buffer[0..path.len :0]);
    var bound: abi.Address = undefined;
    try expectEqual(0, socket.localAddress(unix, &bound));
    try expectEqual(wanted, bound);
    try expectErrno(.NOTCONN, socket.peerAddress(unix, &bound));
}

test "the longest UNIX path" {
    if (!support.is_posix) return error.SkipZigTest; // no UNIX sockets
    var wanted = unixAddress("/tmp/" ++ "x" ** 103);
    const unix = socket.open(wanted.domain, stream, 0, false);
    defer _ = os.close(unix);
    _ = linux.unlink("/tmp/" ++ "x" ** 103);
    try expectEqual(0, socket.bind(unix, &wanted));
    defer _ = linux.unlink("/tmp/" ++ "x" ** 103);
    var bound: abi.Address = undefined;
    try expectEqual(0, socket.localAddress(unix, &bound));
    try expectEqual(wanted, bound);
    wanted.length = wanted.bytes.len + 1;
    try expectErrno(.NAMETOOLONG, socket.bind(unix, &wanted));
}

test "malformed addresses are refused" {
    const descriptor = socket.open(@intFromEnum(abi.Domain.inet), stream, 0, false);
    defer _ = os.close(descriptor);
    var address = loopback(.inet);
    address.port = 65_536;
    try expectErrno(.INVAL, socket.connect(descriptor, &address));
    address = loopback(.inet);
    address.length = 16;
    try expectErrno(.INVAL, socket.connect(descriptor, &address));
    address.domain = 12_345;
    try expectCode(.not_supported, socket.connect(descriptor, &address));
}

test "a send that does not fit is partial" {
    const connection: Connection = try .init(loopback(.inet));
    defer connection.deinit();
    const memory = try std.testing.allocator.alloc(u8, 16 << 20);
    defer std.testing.allocator.free(memory);
    @memset(memory, 7);
    const sent = socket.send(connection.client, memory, 0, 0);
    try expect(sent > 0 and sent < memory.len);
    try expectCode(.out_of_bounds, socket.send(connection.client, memory, memory.len + 1, 0));
    try expectCode(.out_of_bounds, socket.send(connection.client, memory, std.math.maxInt(u64), 0));
}

/// A datagram socket bound to `wanted`, and the address that it has.
const Endpoint = struct {
    descriptor: i32,
    address: abi.Address,

    fn init(wanted: abi.Address) !Endpoint {
        const descriptor = socket.open(wanted.domain, datagram, 0, false);
        if (descriptor < 0) return error.SkipZigTest; // no such domain on this machine
        errdefer _ = os.close(descriptor);
        const bound = socket.bind(descriptor, &wanted);
        if (bound == os.failure(.ADDRNOTAVAIL)) return error.SkipZigTest; // no such address here
        try expectEqual(0, bound);
        var address: abi.Address = undefined;
        try expectEqual(0, socket.localAddress(descriptor, &address));
        return .{ .descriptor = descriptor, .address = address };
    }

    fn deinit(self: Endpoint) void {
        _ = os.close(self.descriptor);
    }

    fn send(self: Endpoint, memory: []const u8, target: Endpoint) i32 {
        return socket.sendTo(self.descriptor, memory, &target.address, 0);
    }

    fn receive(self: Endpoint, memory: []u8, flags: u32, sender: *abi.Address) !i32 {
        const subject: Subject = try .init(support.any_backend);
        defer subject.deinit();
        try subject.expectOnly(try subject.register(self.descriptor, support.read), support.read);
        return socket.receiveFrom(self.descriptor, memory, flags, sender);
    }
};

fn expectDatagrams(first: abi.Address, second: abi.Address) !void {
    const a: Endpoint = try .init(first);
    defer a.deinit();
    const b: Endpoint = try .init(second);
    defer b.deinit();
    var memory: [16]u8 = undefined;
    var sender: abi.Address = undefined;
    try expectErrno(.AGAIN, socket.receiveFrom(b.descriptor, &memory, 0, &sender));
    try expectEqual(5, a.send("hello", b));
    try expectEqual(0, a.send("", b));
    try expectEqual(5, try b.receive(&memory, 0, &sender));
    try expectEqualStrings("hello", memory[0..5]);
    try expectEqual(a.address, sender);
    sender = undefined;
    try expectEqual(0, try b.receive(&memory, 0, &sender));
    try expectEqual(a.address, sender);
}

test "datagrams over IPv4" {
    try expectDatagrams(loopback(.inet), loopback(.inet));
}

test "datagrams over IPv6" {
    try expectDatagrams(loopback(.inet6), loopback(.inet6));
}

test "datagrams between UNIX sockets" {
    if (!support.is_posix) return error.SkipZigTest; // no UNIX sockets
    try expectDatagrams(unixAddress("\x00asyncdispatch-a"), unixAddress("\x00asyncdispatch-b"));
}

test "a datagram that does not fit tells its length, and the rest of it is gone" {
    const addresses = [_]abi.Address{ loopback(.inet), unixAddress("\x00asyncdispatch-cut") };
    for (addresses[0..if (support.is_posix) 2 else 1]) |address| {
        const a: Endpoint = try .init(address);
        defer a.deinit();
        var memory: [16]u8 = @splat(0);
        var sender: abi.Address = undefined;
        try expectEqual(10, a.send("0123456789", a));
        try expectEqual(1, a.send("x", a));
        try expectEqual(10, try a.receive(memory[0..0], abi.TransferFlag.peek, &sender));
        try expectEqual(10, try a.receive(memory[0..4], 0, &sender));
        try expectEqualStrings("0123\x00", memory[0..5]);
        try expectEqual(1, try a.receive(&memory, 0, &sender));
    }
}

test "a sender without a name has no domain" {
    if (!support.is_posix) return error.SkipZigTest; // no UNIX sockets
    const receiver: Endpoint = try .init(unixAddress("\x00asyncdispatch-unnamed"));
    defer receiver.deinit();
    const sender = socket.open(receiver.address.domain, datagram, 0, false);
    defer _ = os.close(sender);
    try expectEqual(1, socket.sendTo(sender, "x", &receiver.address, 0));
    var memory: [4]u8 = undefined;
    var name: abi.Address = receiver.address;
    try expectEqual(1, try receiver.receive(&memory, 0, &name));
    try expectEqual(abi.Address{}, name);
}

test "a datagram that is too large is not sent" {
    const a: Endpoint = try .init(loopback(.inet));
    defer a.deinit();
    const memory: [65_508]u8 = @splat(0);
    try expectErrno(.MSGSIZE, a.send(&memory, a));
    try expectEqual(65_507, a.send(memory[1..], a));
}

test "malformed targets of datagrams are refused" {
    const a: Endpoint = try .init(loopback(.inet));
    defer a.deinit();
    var target = a.address;
    target.length = 5;
    try expectErrno(.INVAL, socket.sendTo(a.descriptor, "x", &target, 0));
    try expectCode(.not_supported, socket.sendTo(a.descriptor, "x", &.{}, 0));
}

test "a send to a peer that is gone is EPIPE and no signal" {
    if (!support.is_posix) return error.SkipZigTest; // no UNIX sockets
    const connection: Connection = try .init(unixAddress("\x00asyncdispatch-gone"));
    defer connection.deinit();
    var signals: support.SignalCount(.PIPE) = .init();
    defer signals.deinit();
    _ = linux.shutdown(connection.server, linux.SHUT.RD);
    try expectErrno(.PIPE, socket.send(connection.client, "x", 0, 0));
    try expectEqual(0, signals.get());
}

test "what is no socket gives ENOTSOCK" {
    const event = os.eventCreate();
    defer _ = os.close(event);
    var memory: [1]u8 = undefined;
    try expectErrno(.NOTSOCK, socket.receive(event, &memory, 0));
    try expectErrno(.NOTSOCK, socket.send(event, "x", 0, 0));
}

test "a buried descriptor is dead, but its number is taken" {
    const connection: Connection = try .init(loopback(.inet));
    defer connection.deinit();
    var memory: [4]u8 = undefined;
    try expectEqual(0, socket.bury(connection.client));
    try expectErrno(.BADF, socket.receive(connection.client, &memory, 0));
    try expectErrno(.BADF, socket.send(connection.client, "x", 0, 0));
    try expectErrno(.BADF, socket.bury(connection.client));
    // The other side sees the end.
    try expectEqual(0, socket.receive(connection.server, &memory, 0));
    const other = socket.open(@intFromEnum(abi.Domain.inet), stream, 0, false);
    defer _ = os.close(other);
    try expect(other != connection.client);
    try expectErrno(.BADF, socket.bury(-1));
}

test "a descriptor buried while it is watched does not stop the loop" {
    const backends: []const abi.Backend = if (support.is_posix) &.{ .epoll, .select, .kqueue } else &.{.iocp};
    for (backends) |backend| {
        const subject: Subject = try .init(backend);
        defer subject.deinit();
        const connection: Connection = try .init(loopback(.inet));
        defer connection.deinit();
        const handle = try subject.register(connection.client, support.read);
        try expectEqual(0, socket.bury(connection.client));
        // epoll and kqueue drop what is closed; the others call it readable, and the read then gives EBADF.
        for (try subject.wait(5)) |event| try expectEqual(support.read, event.readiness);
        try expectErrno(.BADF, subject.selector.setInterest(handle, 0));
        try subject.expectNothing();
        try subject.unregister(handle);
    }
}

test "options" {
    const descriptor = socket.open(@intFromEnum(abi.Domain.inet), stream, 0, false);
    defer _ = os.close(descriptor);
    var value: i32 = undefined;
    const switches = [_]abi.Option{
        .keep_alive, .no_delay, .reuse_addr, .oob_inline, .dont_route, .broadcast, .reuse_port,
    };
    for (switches[0..if (support.is_posix) 7 else 6]) |option| {
        try expectEqual(0, socket.setOption(descriptor, number(option), 1));
        try expectEqual(0, socket.getOption(descriptor, number(option), &value));
        try expectEqual(1, value);
    }
    for ([_]i32{ -1, 0, 3 }) |linger_s| {
        try expectEqual(0, socket.setOption(descriptor, number(.linger), linger_s));
        try expectEqual(0, socket.getOption(descriptor, number(.linger), &value));
        try expectEqual(linger_s, value);
    }
    try expectEqual(0, socket.getOption(descriptor, number(.domain), &value));
    try expectEqual(2, value);
    try expectEqual(0, socket.getOption(descriptor, number(.socket_type), &value));
    try expectEqual(1, value);
    try expectErrno(.NOPROTOOPT, socket.setOption(descriptor, number(.pending_error), 1));
    try expectCode(.not_supported, socket.setOption(descriptor, 0, 1));
    try expectCode(.not_supported, socket.getOption(descriptor, 999, &value));
}

test "inheritance" {
    for ([_]bool{ false, true }) |inheritable| {
        const descriptor = socket.open(@intFromEnum(abi.Domain.inet), stream, 0, inheritable);
        defer _ = os.close(descriptor);
        try expectEqual(inheritable, support.isInheritable(descriptor));
        try expectEqual(0, os.setInheritable(descriptor, !inheritable));
        try expectEqual(!inheritable, support.isInheritable(descriptor));
    }
    try expectErrno(.BADF, os.setInheritable(-1, true));
    try expect(os.descriptorLimit() > 0);
}

test "domains and types that do not exist are an errno" {
    try expectErrno(.AFNOSUPPORT, socket.open(0xffff_ffff, stream, 0, false));
    try expect(socket.open(2, 0xffff_ffff, 0xffff_ffff, false) < 0);
    try expectErrno(.BADF, os.close(-1));
}
