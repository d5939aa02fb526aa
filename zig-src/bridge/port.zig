//! Waits for a selector on its completion port, which only gives what it also takes away: what has completed is given
//! back before the bell rings. Then the thread rests, and leaves the port to the JavaScript thread.

const std = @import("std");
const os = @import("../os.zig").os;
const Selector = @import("../selector.zig").Selector;
const Occasion = @import("../bridge.zig").Occasion;

pub const PortWatcher = struct {
    /// A handle of its own: the selector may be freed before the bridge.
    port: i32,
    thread: *const os.Thread,
    /// When the thread is to ring by itself, unless it is `resting`.
    deadline_ns: std.atomic.Value(u64) = .init(resting),
    stopping: std.atomic.Value(bool) = .init(false),

    const resting = std.math.maxInt(u64);
    const no_deadline = resting - 1;

    pub fn init(self: *PortWatcher, selector: *Selector, thread: *const os.Thread) i32 {
        self.* = .{ .port = os.waitableCopy(selector.backend.iocp.port), .thread = thread };
        return @min(self.port, 0);
    }

    pub fn deinit(self: *PortWatcher) void {
        _ = os.close(self.port);
    }

    pub fn arm(self: *PortWatcher, selector: *Selector, timeout_ns: ?u64) i32 {
        // What cannot begin, the selector's next wait tells.
        const has_begun = selector.backend.iocp.begin(&selector.table) >= 0;
        const allowed_ns = if (has_begun) timeout_ns else 0;
        const deadline_ns = if (allowed_ns) |ns| os.monotonicNanoseconds() +| ns else no_deadline;
        // An earlier time is left alone: the host looks, finds nothing due and arms again.
        if (self.deadline_ns.fetchMin(deadline_ns, .acq_rel) <= deadline_ns) return 0;
        const code = self.thread.rouse();
        if (code < 0) _ = self.deadline_ns.cmpxchgStrong(deadline_ns, resting, .acq_rel, .monotonic);
        return code;
    }

    pub fn wait(self: *PortWatcher) Occasion {
        while (!self.stopping.load(.acquire)) {
            const deadline_ns = self.deadline_ns.load(.acquire);
            if (deadline_ns == resting) {
                os.Thread.rest();
            } else if (self.waitUntil(deadline_ns)) {
                self.deadline_ns.store(resting, .release);
                return .ring;
            }
        }
        return .stop;
    }

    /// False when it was roused, or looked up early.
    fn waitUntil(self: *PortWatcher, deadline_ns: u64) bool {
        const timeout_ns = if (deadline_ns == no_deadline) null else deadline_ns -| os.monotonicNanoseconds();
        var completions: [1]os.Completion = undefined;
        const count = os.portWaitRousably(self.port, &completions, timeout_ns);
        if (count == os.failure(.INTR)) return false;
        if (count == 1) self.giveBack(&completions[0]);
        return count != 0 or os.monotonicNanoseconds() >= deadline_ns;
    }

    /// The context is all that the selector reads of it. Until it has it back, its memory is not freed.
    fn giveBack(self: *PortWatcher, completion: *const os.Completion) void {
        // It fails for want of memory alone.
        while (os.portPost(self.port, completion.context) < 0) os.yield();
    }

    pub fn stop(self: *PortWatcher) void {
        self.stopping.store(true, .release);
        _ = self.thread.rouse();
    }
};
