//! The door-bell into a host's loop. A thread waits for a selector in the host's stead and writes one byte to a
//! socket that the host watches; then it rests until it is armed again.
//!
//! The thread touches the bridge's own descriptors and memory alone, never the selector's records: those belong to
//! the JavaScript thread.

const std = @import("std");
const os = @import("os.zig").os;
const Selector = @import("selector.zig").Selector;
const PollWatcher = @import("bridge/poll.zig").PollWatcher;

const allocator = std.heap.page_allocator;

/// What the bridge's thread has waited for.
pub const Occasion = enum { ring, stop };

/// How the thread waits: by epoll where the system has it and the selector has a descriptor, else by poll.
const Watcher = union(enum) {
    epoll: if (has_epoll) @import("bridge/epoll.zig").EpollWatcher else noreturn,
    poll: PollWatcher,

    const has_epoll = @hasDecl(os, "epollCreate");

    fn init(self: *Watcher, selector: *Selector) i32 {
        if (has_epoll and selector.descriptor() >= 0) {
            self.* = .{ .epoll = undefined };
            return self.epoll.init();
        }
        self.* = .{ .poll = undefined };
        return self.poll.init();
    }

    fn deinit(self: *Watcher) void {
        switch (self.*) {
            inline else => |*watcher| watcher.deinit(),
        }
    }

    fn arm(self: *Watcher, selector: *Selector, timeout_ns: ?u64) i32 {
        return switch (self.*) {
            inline else => |*watcher| watcher.arm(selector, timeout_ns),
        };
    }

    fn wait(self: *Watcher) Occasion {
        return switch (self.*) {
            inline else => |*watcher| watcher.wait(),
        };
    }

    fn stop(self: *Watcher) void {
        switch (self.*) {
            inline else => |*watcher| watcher.stop(),
        }
    }
};

pub const Bridge = struct {
    watcher: Watcher = undefined,
    bell: i32 = -1,
    /// The other end of `bell`, which the host takes before it arms the bridge and closes by itself.
    host_end: i32 = -1,
    host_has_end: bool = false,
    thread: os.Thread = undefined,
    /// Also before it is opened.
    closed: bool = true,

    /// null when there is no memory.
    pub fn create() ?*Bridge {
        const self = allocator.create(Bridge) catch return null;
        self.* = .{};
        return self;
    }

    /// Starts the thread.
    pub fn open(self: *Bridge, selector: *Selector) i32 {
        var ends: [2]i32 = undefined;
        var code = os.socketPair(&ends);
        if (code < 0) return code;
        self.bell, self.host_end = ends;
        code = self.watcher.init(selector);
        if (code >= 0) {
            code = self.thread.start(run, self);
            self.closed = code < 0;
            if (code == 0) return 0;
            self.watcher.deinit();
        }
        for (ends) |end| _ = os.close(end);
        return code;
    }

    /// Lets the bell ring once, when the selector has something to report or the time is up (null: never by time).
    pub fn arm(self: *Bridge, selector: *Selector, timeout_ns: ?u64) i32 {
        self.host_has_end = true;
        return self.watcher.arm(selector, timeout_ns);
    }

    /// Ends the thread and gives back what the system holds. May be called again.
    pub fn close(self: *Bridge) void {
        if (self.closed) return;
        self.closed = true;
        self.watcher.stop();
        self.thread.join();
        self.watcher.deinit();
        _ = os.close(self.bell);
    }

    pub fn free(self: *Bridge) void {
        const host_ended_early = !self.closed and !self.host_has_end;
        // A host that had taken its end has closed it by now.
        if (host_ended_early and !isHungUp(self.bell)) _ = os.close(self.host_end);
        self.close();
        allocator.destroy(self);
    }

    /// Whether the other end is closed.
    fn isHungUp(bell: i32) bool {
        var entries = [_]os.PollEntry{.{ .fd = bell, .events = 0, .revents = 0 }};
        return os.poll(&entries, 0) == 1 and entries[0].revents & os.POLL.HUP != 0;
    }

    fn run(context: ?*anyopaque) callconv(.c) ?*anyopaque {
        const self: *Bridge = @ptrCast(@alignCast(context));
        while (self.watcher.wait() == .ring) {
            // A full socket holds a byte that the host has not seen yet; a closed one has no host any more.
            _ = os.send(self.bell, "!", 0);
        }
        return null;
    }
};
