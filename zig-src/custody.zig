//! Descriptors that belong to nobody for a moment: opened and not registered yet, or unregistered and not closed yet.
//!
//! A Worker may be terminated between any two calls of its JavaScript, also between those; what is held is closed then.

const std = @import("std");
const os = @import("os.zig").os;

const allocator = std.heap.page_allocator;

/// It belongs to one JavaScript thread.
pub const Custody = struct {
    /// One at a time, as a rule: the rest is for callbacks of a descriptor that is being closed. Of more than these,
    /// the further ones are not held.
    held: [8]i32 = @splat(none),

    const none = -1;

    /// null when there is no memory.
    pub fn create() ?*Custody {
        const self = allocator.create(Custody) catch return null;
        self.* = .{};
        return self;
    }

    /// Gives the descriptor back; of a failure there is none.
    pub fn hold(self: *Custody, descriptor: i32) i32 {
        if (descriptor >= 0) self.replace(none, descriptor);
        return descriptor;
    }

    /// It has an owner now, or is closed.
    pub fn release(self: *Custody, descriptor: i32) void {
        self.replace(descriptor, none);
    }

    fn replace(self: *Custody, before: i32, after: i32) void {
        for (&self.held) |*place| {
            if (place.* != before) continue;
            place.* = after;
            return;
        }
    }

    pub fn free(self: *Custody) void {
        for (self.held) |descriptor| {
            if (descriptor != none) _ = os.close(descriptor);
        }
        allocator.destroy(self);
    }
};
