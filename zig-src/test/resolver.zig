//! Lookups that need no network.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const resolver_file = @import("../resolver.zig");
const support = @import("support.zig");
const Resolver = resolver_file.Resolver;
const Subject = support.Subject;
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const expectEqualSlices = std.testing.expectEqualSlices;
const expectErrno = support.expectErrno;

fn ask(name: []const u8, domain: abi.Domain) resolver_file.Question {
    return .{
        .name = name,
        .domain = @intFromEnum(domain),
        .socket_type = @intFromEnum(abi.SocketType.stream),
        .protocol = 0,
    };
}

fn create() !*Resolver {
    const resolver = Resolver.create() orelse return error.NoResolver;
    try expectEqual(0, resolver.open());
    return resolver;
}

test "an address is its own answer" {
    var lookup: abi.Lookup = undefined;
    try expectEqual(0, resolver_file.resolveNow(ask("127.0.0.1", .inet), &lookup));
    try expectEqual(0, lookup.status);
    try expectEqual(1, lookup.count);
    try expectEqualSlices(u8, &.{ 127, 0, 0, 1 }, lookup.addresses[0].bytes[0..lookup.addresses[0].length]);
    try expectEqual(0, resolver_file.resolveNow(ask("::1", .unspecified), &lookup));
    try expectEqual(16, lookup.addresses[0].length);
}

test "IPv6 answers may be mapped IPv4 addresses" {
    var lookup: abi.Lookup = undefined;
    try expectEqual(0, resolver_file.resolveNow(ask("10.1.2.3", .inet6), &lookup));
    const mapped = [_]u8{0} ** 10 ++ [_]u8{ 0xff, 0xff, 10, 1, 2, 3 };
    try expectEqualSlices(u8, &mapped, lookup.addresses[0].bytes[0..16]);
}

test "a failed lookup has a status and a text" {
    var lookup: abi.Lookup = undefined;
    try expectEqual(0, resolver_file.resolveNow(ask("127.0.0.1", .inet6), &lookup));
    try expectEqual(0, resolver_file.resolveNow(ask("::1", .inet), &lookup));
    try expect(lookup.status != 0);
    try expectEqual(0, lookup.count);
    try expect(std.mem.len(resolver_file.errorText(lookup.status).?) > 0);
}

test "names that no lookup can hold are refused" {
    var lookup: abi.Lookup = undefined;
    const resolver = try create();
    defer resolver.free();
    for ([_][]const u8{ "a\x00b", "x" ** 1025 }) |name| {
        try expectErrno(.INVAL, resolver_file.resolveNow(ask(name, .inet), &lookup));
        try expectErrno(.INVAL, resolver.start(ask(name, .inet), 1));
    }
    try expectEqual(0, resolver_file.resolveNow(ask("x" ** 1024, .inet), &lookup));
    try expect(lookup.status != 0);
}

test "every lookup is taken once, whatever the order" {
    const total = 200;
    const subject: Subject = try .init(support.any_backend);
    defer subject.deinit();
    const resolver = try create();
    defer resolver.free();
    const handle = try subject.register(resolver.event, support.read);
    for (0..total) |ticket| try expectEqual(0, resolver.start(ask("127.0.0.1", .inet), @intCast(ticket)));

    var seen: [total]bool = @splat(false);
    var lookup: abi.Lookup = undefined;
    while (std.mem.count(bool, &seen, &.{false}) > 0) {
        try subject.expectOnly(handle, support.read);
        while (resolver.take(&lookup) == 1) {
            try expect(!seen[lookup.ticket]);
            try expectEqual(1, lookup.count);
            seen[lookup.ticket] = true;
        }
    }
    try subject.expectNothing();
    try expectEqual(0, resolver.take(&lookup));
}

test "a cancelled lookup that has not begun is not looked up, and the others keep their order" {
    const subject: Subject = try .init(support.any_backend);
    defer subject.deinit();
    const resolver = try create();
    defer resolver.free();
    const handle = try subject.register(resolver.event, support.read);
    resolver.running = std.math.maxInt(u32); // No thread more is started.
    for (0..6) |ticket| try expectEqual(0, resolver.start(ask("127.0.0.1", .inet), @intCast(ticket)));
    for ([_]u32{ 2, 0, 5, 9 }) |ticket| resolver.cancel(ticket);
    resolver.running = 0;
    try expectEqual(0, resolver.start(ask("127.0.0.1", .inet), 6));

    var lookup: abi.Lookup = undefined;
    for ([_]u32{ 1, 3, 4, 6 }) |ticket| {
        while (resolver.take(&lookup) == 0) try subject.expectOnly(handle, support.read);
        try expectEqual(ticket, lookup.ticket);
    }
    try expectEqual(0, resolver.take(&lookup));
}

/// How many milliseconds it takes to cancel 10,000 lookups that wait.
fn cancelMany(newest_first: bool) !f64 {
    const total = 10_000;
    const resolver = try create();
    defer resolver.free();
    resolver.running = std.math.maxInt(u32); // No thread more is started.
    defer resolver.running = 0;
    for (0..total) |ticket| try expectEqual(0, resolver.start(ask("127.0.0.1", .inet), @intCast(ticket)));
    const start_ns = os.monotonicNanoseconds();
    for (0..total) |i| resolver.cancel(@intCast(if (newest_first) total - 1 - i else i));
    try expectEqual(null, resolver.waiting.first);
    return support.elapsedMilliseconds(start_ns);
}

test "many lookups are cancelled as fast in the reverse order as in that of their beginning" {
    var best_ms: [2]f64 = @splat(std.math.inf(f64));
    for (0..3) |_| {
        for (&best_ms, [_]bool{ false, true }) |*best, newest_first| best.* = @min(best.*, try cancelMany(newest_first));
    }
    try expect(best_ms[1] < 4 * best_ms[0]);
}

test "closing amid lookups closes the event with the last thread" {
    const subject: Subject = try .init(support.any_backend);
    defer subject.deinit();
    const before = try support.descriptorMark();
    for (0..50) |_| {
        const resolver = try create();
        for (0..10) |ticket| _ = resolver.start(ask("localhost", .inet), @intCast(ticket));
        resolver.free();
    }
    // The threads end in their own time.
    for (0..500) |_| {
        _ = try subject.wait(10);
        // An earlier test's threads may have ended as well.
        if (try support.descriptorMark() <= before) return;
    }
    return error.DescriptorLeaked;
}
