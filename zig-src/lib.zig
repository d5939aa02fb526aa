//! The C ABI of the library: one forwarding function per export, and nothing else. `abi_writer.zig` reads
//! the signatures from here. A result is a value or a negative code, see `abi.Code`.

const std = @import("std");
const builtin = @import("builtin");
const abi = @import("abi.zig");
const os = @import("os.zig").os;
const socket = @import("socket.zig");
const resolver = @import("resolver.zig");
const selectors = @import("selector.zig");
pub const Selector = selectors.Selector;
pub const Custody = @import("custody.zig").Custody;
pub const Resolver = resolver.Resolver;
pub const Bridge = @import("bridge.zig").Bridge;
const event = @import("watch/event.zig");
pub const EventReference = event.Reference;
pub const Process = @import("watch/process.zig").Process;
pub const SignalWatch = switch (builtin.os.tag) {
    .windows => @import("watch/signal_absent.zig").Watch,
    else => @import("watch/signal.zig").Watch,
};

/// Says what broke, without std's stack traces, which would make the library seven times as large.
pub const panic = std.debug.FullPanic(struct {
    fn call(message: []const u8, _: ?usize) noreturn {
        for ([_][]const u8{ "asyncdispatch: ", message, "\n" }) |part| os.writeStandardError(part);
        @trap();
    }
}.call);

pub export fn abi_version() u32 {
    return abi.version;
}

/// The version for those who cannot run the library: `bun run build:all` reads it out of the file.
pub export const abi_marker = std.fmt.comptimePrint("asyncdispatch ABI {d}\n", .{abi.version}).*;

/// The size of the struct at this place of `abi.structs`; 0 when there is none.
pub export fn abi_struct_size(which: u32) u32 {
    inline for (abi.structs, 0..) |Struct, index| {
        if (which == index) return @sizeOf(Struct);
    }
    return 0;
}

/// The selectors of this operating system, as bits: a `Backend` of number n is bit n.
pub export fn selector_backends() u32 {
    return selectors.available_backends;
}

// What owns resources of the system begins empty: JavaScript has it freed with an array buffer of its own before it
// is opened. A Worker may be terminated between any two of its calls.

/// What JavaScript passes as the deallocator of that array buffer, with the record as its context: see the functions
/// `_free_address`.
fn Deallocator(comptime Record: type) type {
    return struct {
        fn free(_: ?*anyopaque, context: ?*anyopaque) callconv(.c) void {
            const record: *Record = @ptrCast(@alignCast(context orelse return));
            record.free();
        }
    };
}

/// null when there is no memory, as of every `_create`.
pub export fn custody_create() ?*Custody {
    return .create();
}

pub export fn custody_free_address() ?*const anyopaque {
    return &Deallocator(Custody).free;
}

pub export fn selector_create() ?*Selector {
    return .create();
}

pub export fn selector_open(selector: *Selector, backend: u32) i32 {
    const which = std.enums.fromInt(abi.Backend, backend) orelse return @intFromEnum(abi.Code.unknown_backend);
    return selector.open(which);
}

/// `abi.event_capacity` events, of which the last wait filled the first. Lives until the selector is freed.
pub export fn selector_events(selector: *Selector) [*]abi.Event {
    return selector.events;
}

pub export fn selector_close(selector: *Selector) void {
    selector.close();
}

/// As `selector_close`, and closes the registered descriptors that this library opened.
pub export fn selector_abandon(selector: *Selector) void {
    selector.abandon();
}

pub export fn selector_free_address() ?*const anyopaque {
    return &Deallocator(Selector).free;
}

pub export fn selector_descriptor(selector: *Selector) i32 {
    return selector.descriptor();
}

/// `is_own`: this library has just opened the descriptor, which spares the look whether it is open.
pub export fn selector_register(
    selector: *Selector,
    custody: *Custody,
    descriptor: i32,
    is_own: u32,
    handle: *abi.Handle,
) i32 {
    const code = selector.register(descriptor, is_own != 0, handle);
    if (code == 0 and is_own != 0) custody.release(descriptor);
    return code;
}

pub export fn selector_set_interest(selector: *Selector, index: u32, generation: u32, interest: u32) i32 {
    return selector.setInterest(.{ .index = index, .generation = generation }, interest);
}

/// `is_closing`: the descriptor is closed next, by `descriptor_close`, which takes it out of the kernel's set as well.
pub export fn selector_unregister(
    selector: *Selector,
    custody: *Custody,
    index: u32,
    generation: u32,
    is_closing: u32,
) i32 {
    const result = selector.unregister(.{ .index = index, .generation = generation }, is_closing != 0);
    return if (is_closing != 0) custody.hold(result) else result;
}

pub export fn selector_wait(selector: *Selector, timeout_ms: f64, limit: u32) i32 {
    return selector.wait(timeout_ms, limit);
}

/// Milliseconds of the clock of the waits. JavaScript's own clocks stand still under a test runner's fake timers.
pub export fn selector_clock() f64 {
    return @as(f64, @floatFromInt(os.monotonicNanoseconds())) / std.time.ns_per_ms;
}

/// A door-bell for a selector.
pub export fn bridge_create() ?*Bridge {
    return .create();
}

/// Lets it wait for a selector. `host_port`: on Windows, the port of 127.0.0.1 where the host listens for the bell.
pub export fn bridge_open(bridge: *Bridge, selector: *Selector, host_port: u32) i32 {
    const port = std.math.cast(u16, host_port) orelse return os.failure(.INVAL);
    return bridge.open(selector, port);
}

/// The socket that is rung: a byte comes. Whoever takes it has to close it, and takes it before `bridge_arm`. On
/// Windows, the port from which comes the connection that is rung, for the host to accept.
pub export fn bridge_host_end(bridge: *const Bridge) i32 {
    return bridge.bell.host_end;
}

/// Rings once: when the selector has something to report, or `timeout_ms` (negative: never) are over.
pub export fn bridge_arm(bridge: *Bridge, selector: *Selector, timeout_ms: f64) i32 {
    return bridge.arm(selector, selectors.nanoseconds(timeout_ms));
}

pub export fn bridge_close(bridge: *Bridge) void {
    bridge.close();
}

pub export fn bridge_free_address() ?*const anyopaque {
    return &Deallocator(Bridge).free;
}

/// `path`: NUL-terminated. `flags`: of open(2). On Linux only.
pub export fn file_open(custody: *Custody, path: ?[*]const u8, path_length: u64, flags: u32, permissions: u32) i32 {
    const bytes = constSlice(path, path_length);
    if (bytes.len == 0 or bytes[bytes.len - 1] != 0) return os.failure(.INVAL);
    if (!@hasDecl(os, "openFile")) return @intFromEnum(abi.Code.not_supported);
    return custody.hold(os.openFile(bytes[0 .. bytes.len - 1 :0], flags, permissions));
}

pub export fn descriptor_close(custody: *Custody, descriptor: i32) i32 {
    custody.release(descriptor);
    return os.close(descriptor);
}

pub export fn socket_open(
    custody: *Custody,
    domain: u32,
    socket_type: u32,
    protocol: u32,
    inheritable: u32,
) i32 {
    return custody.hold(socket.open(domain, socket_type, protocol, inheritable != 0));
}

pub export fn socket_bury(descriptor: i32) i32 {
    return socket.bury(descriptor);
}

pub export fn socket_bind(descriptor: i32, address: *const abi.Address) i32 {
    return socket.bind(descriptor, address);
}

pub export fn socket_listen(descriptor: i32, backlog: i32) i32 {
    return os.listen(descriptor, backlog);
}

pub export fn socket_connect(descriptor: i32, address: *const abi.Address) i32 {
    return socket.connect(descriptor, address);
}

pub export fn socket_accept(custody: *Custody, descriptor: i32, peer: *abi.Address, inheritable: u32) i32 {
    return custody.hold(socket.accept(descriptor, peer, inheritable != 0));
}

pub export fn socket_local_address(descriptor: i32, address: *abi.Address) i32 {
    return socket.localAddress(descriptor, address);
}

pub export fn socket_peer_address(descriptor: i32, address: *abi.Address) i32 {
    return socket.peerAddress(descriptor, address);
}

pub export fn socket_receive(descriptor: i32, memory: ?[*]u8, memory_length: u64, size: u32, flags: u32) i32 {
    const all: []u8 = if (memory) |start| start[0..memory_length] else &.{};
    return socket.receive(descriptor, all[0..@min(all.len, size)], flags);
}

/// The number of bytes that `socket_receive` would give now.
pub export fn socket_available(descriptor: i32) i32 {
    return os.available(descriptor);
}

pub export fn socket_send(descriptor: i32, memory: ?[*]const u8, memory_length: u64, offset: u64, flags: u32) i32 {
    return socket.send(descriptor, constSlice(memory, memory_length), offset, flags);
}

/// The length of the datagram as it was sent, of which at most `size` bytes are in `memory`.
pub export fn socket_receive_from(
    descriptor: i32,
    memory: ?[*]u8,
    memory_length: u64,
    size: u32,
    flags: u32,
    sender: *abi.Address,
) i32 {
    const all: []u8 = if (memory) |start| start[0..memory_length] else &.{};
    return socket.receiveFrom(descriptor, all[0..@min(all.len, size)], flags, sender);
}

pub export fn socket_send_to(
    descriptor: i32,
    memory: ?[*]const u8,
    memory_length: u64,
    target: *const abi.Address,
    flags: u32,
) i32 {
    return socket.sendTo(descriptor, constSlice(memory, memory_length), target, flags);
}

pub export fn socket_get_option(descriptor: i32, option: u32, value: *i32) i32 {
    return socket.getOption(descriptor, option, value);
}

pub export fn socket_set_option(descriptor: i32, option: u32, value: i32) i32 {
    return socket.setOption(descriptor, option, value);
}

pub export fn descriptor_set_inheritable(descriptor: i32, inheritable: u32) i32 {
    return os.setInheritable(descriptor, inheritable != 0);
}

pub export fn descriptor_limit() i32 {
    return os.descriptorLimit();
}

pub export fn resolver_create() ?*Resolver {
    return .create();
}

pub export fn resolver_open(self: *Resolver) i32 {
    return self.open();
}

pub export fn resolver_descriptor(self: *Resolver) i32 {
    return self.event;
}

pub export fn resolver_start(
    self: *Resolver,
    name: ?[*]const u8,
    name_length: u64,
    domain: u32,
    socket_type: u32,
    protocol: u32,
    ticket: u32,
) i32 {
    return self.start(question(name, name_length, domain, socket_type, protocol), ticket);
}

pub export fn resolver_cancel(self: *Resolver, ticket: u32) void {
    self.cancel(ticket);
}

pub export fn resolver_take(self: *Resolver, lookup: *abi.Lookup) i32 {
    return self.take(lookup);
}

pub export fn resolver_close(self: *Resolver) void {
    self.close();
}

pub export fn resolver_free_address() ?*const anyopaque {
    return &Deallocator(Resolver).free;
}

pub export fn resolve_now(
    name: ?[*]const u8,
    name_length: u64,
    domain: u32,
    socket_type: u32,
    protocol: u32,
    lookup: *abi.Lookup,
) i32 {
    return resolver.resolveNow(question(name, name_length, domain, socket_type, protocol), lookup);
}

pub export fn resolve_error_text(status: i32) ?[*:0]const u8 {
    return resolver.errorText(status);
}

/// A reference to an event.
pub export fn event_create() ?*EventReference {
    return .create();
}

/// Of a new event.
pub export fn event_open_new(reference: *EventReference, handle: *abi.Handle) i32 {
    return reference.openNew(handle);
}

/// Of an event that there is, of this thread or another.
pub export fn event_open(reference: *EventReference, index: u32, generation: u32) i32 {
    return reference.open(.{ .index = index, .generation = generation });
}

pub export fn event_descriptor(index: u32, generation: u32) i32 {
    return event.descriptorOf(.{ .index = index, .generation = generation });
}

/// May be called from any thread, one of a C library's as well.
pub export fn event_trigger(index: u32, generation: u32) i32 {
    return event.trigger(.{ .index = index, .generation = generation });
}

/// 1 when this call took a trigger; 0 when there was none, or another thread was quicker.
pub export fn event_take(index: u32, generation: u32) i32 {
    return event.take(.{ .index = index, .generation = generation });
}

pub export fn event_release(reference: *EventReference) void {
    reference.release();
}

pub export fn event_free_address() ?*const anyopaque {
    return &Deallocator(EventReference).free;
}

pub export fn process_create() ?*Process {
    return .create();
}

pub export fn process_open(process: *Process, pid: i32) i32 {
    return process.open(pid);
}

pub export fn process_descriptor(process: *Process) i32 {
    return process.descriptor;
}

pub export fn process_status(process: *Process, exit: *abi.ProcessStatus) i32 {
    return process.status(exit);
}

pub export fn process_close(process: *Process) void {
    process.close();
}

pub export fn process_free_address() ?*const anyopaque {
    return &Deallocator(Process).free;
}

pub export fn signal_create() ?*SignalWatch {
    return .create();
}

pub export fn signal_open(watch: *SignalWatch, number: i32) i32 {
    return watch.open(number);
}

pub export fn signal_descriptor(watch: *SignalWatch) i32 {
    return watch.descriptor;
}

/// 1 when the signal came since the last call, however often; else 0.
pub export fn signal_take(watch: *SignalWatch) i32 {
    return watch.take();
}

pub export fn signal_close(watch: *SignalWatch) void {
    watch.close();
}

pub export fn signal_free_address() ?*const anyopaque {
    return &Deallocator(SignalWatch).free;
}

fn question(name: ?[*]const u8, length: u64, domain: u32, socket_type: u32, protocol: u32) resolver.Question {
    return .{
        .name = constSlice(name, length),
        .domain = domain,
        .socket_type = socket_type,
        .protocol = protocol,
    };
}

/// An empty view of JavaScript may come without an address.
fn constSlice(memory: ?[*]const u8, length: u64) []const u8 {
    return if (memory) |start| start[0..length] else &.{};
}
