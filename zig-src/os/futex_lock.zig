//! A lock for a few instructions at a time. Neither pthread's (its size differs between the libcs of Linux) nor
//! std's (it wants an Io) fits a library that links no libc.

const std = @import("std");

/// `wait` returns when the word is not `expected`, when it is woken, or for no reason; `wake` wakes one who waits.
pub fn FutexLock(
    comptime wait: fn (word: *const u32, expected: u32) void,
    comptime wake: fn (word: *const u32) void,
) type {
    return struct {
        state: std.atomic.Value(u32) = .init(unlocked),

        const unlocked = 0;
        const locked = 1;
        const contended = 2;
        const Self = @This();

        pub fn tryLock(self: *Self) bool {
            return self.state.cmpxchgStrong(unlocked, locked, .acquire, .monotonic) == null;
        }

        pub fn lock(self: *Self) void {
            if (self.tryLock()) return;
            // Whoever has waited must assume that others wait as well, hence `contended` and never `locked`.
            while (self.state.swap(contended, .acquire) != unlocked) wait(&self.state.raw, contended);
        }

        pub fn unlock(self: *Self) void {
            if (self.state.swap(unlocked, .release) == contended) wake(&self.state.raw);
        }
    };
}
