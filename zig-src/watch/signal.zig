//! Signals as readiness: a handler for the one signal that writes to the events of those who watch it.
//!
//! Not a signalfd: that needs the signal blocked in every thread of the process, and the engine's threads block
//! none, so that the signal would still take its default action through one of them.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const Pool = @import("pool.zig").Pool;

/// How many watches there can be in a process, of all signals together.
pub const capacity = 256;

/// One watch of one signal. Several of the same signal are told all.
pub const Watch = struct {
    signal: u8,
    /// Its place in `entries`.
    place: u8,
    descriptor: i32,

    var pool: Pool(Watch) = .{};

    /// Of no signal yet; null when there is no memory.
    pub fn create() ?*Watch {
        const self = pool.create() catch return null;
        self.* = .{ .signal = 0, .place = 0, .descriptor = -1 };
        return self;
    }

    /// EINVAL when the signal cannot be watched, EAGAIN when there are too many watches.
    pub fn open(self: *Watch, number: i32) i32 {
        if (!isWatchable(number)) return os.failure(.INVAL);
        const descriptor = os.eventCreate();
        if (descriptor < 0) return descriptor;
        self.* = .{ .signal = @intCast(number), .place = undefined, .descriptor = descriptor };
        const code = self.enter();
        if (code < 0) {
            _ = os.close(descriptor);
            self.descriptor = -1;
        }
        return code;
    }

    fn enter(self: *Watch) i32 {
        lock.lock();
        defer lock.unlock();
        self.place = for (&entries, 0..) |*entry, place| {
            if (entry.load(.monotonic) == 0) break @intCast(place);
        } else return os.failure(.AGAIN);
        // Before the handler is there, so that it never finds nobody to tell.
        const entry: Entry = .{ .signal = self.signal, .process = thisProcess(), .descriptor = self.descriptor };
        entries[self.place].store(@bitCast(entry), .seq_cst);
        const code = install(self.signal);
        if (code < 0) entries[self.place].store(0, .seq_cst);
        if (code == 0) counts[self.signal] += 1;
        return code;
    }

    /// 1 when the signal came since the last call, however often.
    pub fn take(self: *const Watch) i32 {
        const code = os.eventClear(self.descriptor);
        if (code == os.failure(.AGAIN)) return 0;
        return if (code < 0) code else 1;
    }

    /// Idempotent. With the last watch of a signal, what the process did with the signal before comes back.
    pub fn close(self: *Watch) void {
        if (self.descriptor < 0) return;
        lock.lock();
        defer lock.unlock();
        counts[self.signal] -= 1;
        if (counts[self.signal] == 0) _ = restore(self.signal);
        entries[self.place].store(0, .seq_cst);
        // A handler that has already read the entry may be about to write.
        while (running.load(.seq_cst) != 0) os.yield();
        _ = os.close(self.descriptor);
        self.descriptor = -1;
    }

    pub fn free(self: *Watch) void {
        self.close();
        pool.destroy(self);
    }
};

/// One word, so that a handler never sees half of one. 0 is a free place; the signal says so, since 0 is none.
const Entry = packed struct(u64) {
    signal: u8,
    /// Whose watch it is: a forked process has the entries and the handlers of its parent too.
    process: u24,
    descriptor: i32,
};

/// The numbers stay below 4,194,304 on Linux, and below 100,000 on the others.
fn thisProcess() u24 {
    return @intCast(os.processId());
}

/// Guards the installing of handlers. The handler itself never waits for it: it may interrupt who holds it.
var lock: os.Lock = .{};
var counts: [os.signal_count]u32 = @splat(0);
/// How many of our handlers are installed, or below one of somebody else, which may pass signals on to them.
var layers: [os.signal_count]u8 = @splat(0);
var handlers: [2]Handler = .{ .{ .call = Caller(0).call }, .{ .call = Caller(1).call } };
var entries: [capacity]std.atomic.Value(u64) = @splat(.init(0));
/// Handlers that are among the entries now.
var running: std.atomic.Value(u32) = .init(0);

fn isWatchable(number: i32) bool {
    if (number < 1 or number >= os.signal_count) return false;
    return switch (@as(os.SIG, @enumFromInt(number))) {
        // The kernel allows no handler.
        .KILL, .STOP => false,
        // Returning from the handler would run the faulty instruction again, for ever.
        .ILL, .BUS, .FPE, .SEGV => false,
        // 32 and 33 are the C library's own: Linux cancels threads with them, FreeBSD stops them.
        else => number != 32 and number != 33,
    };
}

/// The caller holds the lock. When somebody else has installed a handler over ours, another one of ours goes in front
/// of it: that one may pass signals on to the first, which must not pass them back. There is no third.
fn install(number: u8) i32 {
    var current: os.SignalAction = undefined;
    const code = os.signalAction(number, &current);
    if (code < 0) return code;
    const is_ours = look(number, &current);
    const layer = layers[number];
    if (is_ours or layer == handlers.len) return 0;
    const handler = &handlers[layer];
    handler.formers[number] = current;
    // First, for the handler may be called at once.
    handler.former_addresses[number].store(os.handlerAddress(&current), .seq_cst);
    const failed = os.setSignalHandler(number, handler.call, &current);
    if (failed >= 0) layers[number] += 1;
    return failed;
}

/// The caller holds the lock. What somebody else has installed over our handler stays; then it returns false.
fn restore(number: u8) bool {
    var current: os.SignalAction = undefined;
    if (os.signalAction(number, &current) < 0 or !look(number, &current)) return false;
    layers[number] -= 1;
    return os.restoreSignalAction(number, &handlers[layers[number]].formers[number]) >= 0;
}

/// Whether this action is the one of ours that is in front. Those that somebody has taken away are not counted any more.
fn look(number: u8, current: *const os.SignalAction) bool {
    const address = os.handlerAddress(current);
    if (address <= os.signal_ignored) layers[number] = 0;
    for (handlers[0..layers[number]], 0..) |*handler, layer| {
        const is_ours = address == @intFromPtr(handler.call);
        if (!is_ours and address != handler.former_addresses[number].load(.monotonic)) continue;
        layers[number] = @intCast(layer + @intFromBool(is_ours));
        return is_ours;
    }
    return false;
}

/// A handler of ours, and whom it was put in front of.
const Handler = struct {
    call: *const os.SignalHandler,
    formers: [os.signal_count]os.SignalAction = undefined,
    /// What the handler reads of `formers`, in a word.
    former_addresses: [os.signal_count]std.atomic.Value(usize) = @splat(.init(0)),
};

fn Caller(comptime layer: usize) type {
    return struct {
        /// Runs in whichever thread the signal interrupted: atomics and system calls, nothing else. Then calls who
        /// handled the signal before; the three arguments do no harm to a handler that takes one.
        fn call(signal: os.SIG, info: *const os.SignalInfo, context: ?*anyopaque) callconv(.c) void {
            const number = @intFromEnum(signal);
            _ = running.fetchAdd(1, .seq_cst);
            const outcome = tell(number);
            const former = handlers[layer].former_addresses[number].load(.seq_cst);
            _ = running.fetchSub(1, .seq_cst);
            if (former == os.signal_default) switch (outcome) {
                .told => {},
                .inherited => takeDefaultAction(signal),
                .unwatched => giveBack(signal),
            };
            if (former <= os.signal_ignored) return;
            const handler: *const os.SignalHandler = @ptrFromInt(former);
            handler(signal, info, context);
        }

        /// In a forked process, without the lock: a thread may hold it that only the parent has. The signal takes its
        /// default action when the handler returns.
        fn takeDefaultAction(signal: os.SIG) void {
            const number: u8 = @intCast(@intFromEnum(signal));
            _ = os.restoreSignalAction(number, &handlers[layer].formers[number]);
            os.raise(signal);
        }
    };
}

/// Wakes those of this process who watch the signal. `inherited`: only of the process that this one was forked from.
fn tell(number: u32) enum { told, inherited, unwatched } {
    const process = thisProcess();
    var has_told = false;
    var is_inherited = false;
    for (&entries) |*entry| {
        const found: Entry = @bitCast(entry.load(.seq_cst));
        if (found.signal != number) continue;
        if (found.process == process) {
            _ = os.eventRaise(found.descriptor);
            has_told = true;
        } else is_inherited = true;
    }
    return if (has_told) .told else if (is_inherited) .inherited else .unwatched;
}

/// Our handler stayed below one of somebody else, who has put it back since the last watch ended. The signal takes its
/// default action when the handler returns.
fn giveBack(signal: os.SIG) void {
    if (!lock.tryLock()) return;
    defer lock.unlock();
    const number: u8 = @intCast(@intFromEnum(signal));
    if (counts[number] == 0 and restore(number)) os.raise(signal);
}
