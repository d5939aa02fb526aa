//! Waits for a selector that has a descriptor: an epoll set around it, which reports it once per `arm`.

const std = @import("std");
const os = @import("../os.zig").os;
const Selector = @import("../selector.zig").Selector;
const Occasion = @import("../bridge.zig").Occasion;

const EPOLL = os.EPOLL;

pub const EpollWatcher = struct {
    epoll: i32,
    timer: i32,
    stop_event: i32,
    /// When the timer rings; `maxInt` when it has no time. In JavaScript's thread alone.
    timer_deadline_ns: u64 = no_deadline,

    const no_deadline = std.math.maxInt(u64);

    pub fn init(self: *EpollWatcher, _: *Selector, _: *const os.Thread) i32 {
        self.* = .{ .epoll = os.epollCreate(), .timer = os.timerCreate(), .stop_event = os.eventCreate() };
        const code = @min(self.epoll, self.timer, self.stop_event);
        const added = if (code < 0) code else self.addOwn();
        if (added < 0) self.deinit();
        return added;
    }

    fn addOwn(self: *EpollWatcher) i32 {
        // By edge, so that an expiry is reported once and need not be read.
        const code = self.control(EPOLL.CTL_ADD, self.timer, EPOLL.IN | EPOLL.ET);
        return if (code < 0) code else self.control(EPOLL.CTL_ADD, self.stop_event, EPOLL.IN);
    }

    pub fn deinit(self: *EpollWatcher) void {
        for ([_]i32{ self.epoll, self.timer, self.stop_event }) |descriptor| {
            if (descriptor >= 0) _ = os.close(descriptor);
        }
    }

    pub fn arm(self: *EpollWatcher, selector: *Selector, timeout_ns: ?u64) i32 {
        if (timeout_ns) |ns| {
            const code = self.armTimer(ns);
            if (code < 0) return code;
        }
        const events = EPOLL.IN | EPOLL.ONESHOT;
        const code = self.control(EPOLL.CTL_MOD, selector.descriptor(), events);
        // The first time; and after the selector had to put another epoll set in the place of its old one.
        return if (code == os.failure(.NOENT)) self.control(EPOLL.CTL_ADD, selector.descriptor(), events) else code;
    }

    /// A timer that rings early is left alone: the host looks, finds nothing due and arms again.
    fn armTimer(self: *EpollWatcher, timeout_ns: u64) i32 {
        const now_ns = os.monotonicNanoseconds();
        const deadline_ns = now_ns +| timeout_ns;
        if (self.timer_deadline_ns > now_ns and self.timer_deadline_ns <= deadline_ns) return 0;
        self.timer_deadline_ns = deadline_ns;
        return os.timerSet(self.timer, deadline_ns);
    }

    fn control(self: *EpollWatcher, operation: u32, descriptor: i32, events: u32) i32 {
        var event: os.EpollEvent = .{ .events = events, .data = .{ .fd = descriptor } };
        return os.epollControl(self.epoll, operation, descriptor, &event);
    }

    pub fn wait(self: *EpollWatcher) Occasion {
        while (true) {
            var events: [3]os.EpollEvent = undefined;
            const count = os.epollWaitMilliseconds(self.epoll, &events, -1);
            if (count <= 0) continue;
            for (events[0..@intCast(count)]) |event| {
                if (event.data.fd == self.stop_event) return .stop;
            }
            return .ring;
        }
    }

    pub fn stop(self: *EpollWatcher) void {
        _ = os.eventRaise(self.stop_event);
    }
};
