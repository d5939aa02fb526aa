//! The door-bell into a host's loop. A thread waits for a selector in the host's stead and writes one byte to a
//! socket that the host watches; then it rests until it is armed again.
//!
//! The thread touches the bridge's own descriptors and memory alone, never the selector's records: those belong to
//! the JavaScript thread.

const std = @import("std");
const builtin = @import("builtin");
const abi = @import("abi.zig");
const os = @import("os.zig").os;
const Selector = @import("selector.zig").Selector;

const allocator = std.heap.page_allocator;

/// What the bridge's thread has waited for.
pub const Occasion = enum { ring, stop };

/// How the thread waits.
const Watcher = switch (builtin.os.tag) {
    .linux => LinuxWatcher,
    .windows => @import("bridge/port.zig").PortWatcher,
    else => @import("bridge/poll.zig").PollWatcher,
};

/// What it rings.
const Bell = switch (builtin.os.tag) {
    .windows => @import("bridge/connection.zig").Bell,
    else => @import("bridge/pair.zig").Bell,
};

/// By epoll when the selector has a descriptor, else by poll.
const LinuxWatcher = union(enum) {
    epoll: @import("bridge/epoll.zig").EpollWatcher,
    poll: @import("bridge/poll.zig").PollWatcher,

    pub fn init(self: *LinuxWatcher, selector: *Selector, thread: *const os.Thread) i32 {
        self.* = if (selector.descriptor() >= 0) .{ .epoll = undefined } else .{ .poll = undefined };
        return switch (self.*) {
            inline else => |*watcher| watcher.init(selector, thread),
        };
    }

    pub fn deinit(self: *LinuxWatcher) void {
        switch (self.*) {
            inline else => |*watcher| watcher.deinit(),
        }
    }

    pub fn arm(self: *LinuxWatcher, selector: *Selector, timeout_ns: ?u64) i32 {
        return switch (self.*) {
            inline else => |*watcher| watcher.arm(selector, timeout_ns),
        };
    }

    pub fn wait(self: *LinuxWatcher) Occasion {
        return switch (self.*) {
            inline else => |*watcher| watcher.wait(),
        };
    }

    pub fn stop(self: *LinuxWatcher) void {
        switch (self.*) {
            inline else => |*watcher| watcher.stop(),
        }
    }
};

pub const Bridge = struct {
    watcher: Watcher = undefined,
    bell: Bell = undefined,
    /// By then it has taken its end, which it closes by itself.
    host_has_armed: bool = false,
    thread: os.Thread = undefined,
    /// Also before it is opened.
    closed: bool = true,

    /// null when there is no memory.
    pub fn create() ?*Bridge {
        const self = allocator.create(Bridge) catch return null;
        self.* = .{};
        return self;
    }

    /// Starts the thread. `host_port`: where the host listens for the bell, if it has to.
    pub fn open(self: *Bridge, selector: *Selector, host_port: u16) i32 {
        if (selector.closed) return @intFromEnum(abi.Code.closed);
        var code = self.bell.open(host_port);
        if (code < 0) return code;
        code = self.watcher.init(selector, &self.thread);
        if (code >= 0) {
            code = self.thread.start(run, self);
            self.closed = code < 0;
            if (code == 0) return 0;
            self.watcher.deinit();
        }
        self.bell.reclaim();
        _ = os.close(self.bell.end);
        return code;
    }

    /// Lets the bell ring once, when the selector has something to report or the time is up (null: never by time).
    pub fn arm(self: *Bridge, selector: *Selector, timeout_ns: ?u64) i32 {
        self.host_has_armed = true;
        if (self.closed or selector.closed) return @intFromEnum(abi.Code.closed);
        return self.watcher.arm(selector, timeout_ns);
    }

    /// Ends the thread and gives back what the system holds. May be called again.
    pub fn close(self: *Bridge) void {
        if (self.closed) return;
        self.closed = true;
        self.watcher.stop();
        self.thread.join();
        self.watcher.deinit();
        _ = os.close(self.bell.end);
    }

    pub fn free(self: *Bridge) void {
        if (!self.closed and !self.host_has_armed) self.bell.reclaim();
        self.close();
        allocator.destroy(self);
    }

    fn run(context: ?*anyopaque) callconv(.c) ?*anyopaque {
        const self: *Bridge = @ptrCast(@alignCast(context));
        while (self.watcher.wait() == .ring) {
            // A full socket holds a byte that the host has not seen yet; a closed one has no host any more.
            _ = os.send(self.bell.end, "!", 0);
        }
        return null;
    }
};
