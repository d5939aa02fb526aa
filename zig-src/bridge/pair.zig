//! The bell where a host can watch any socket: a pair, one end of which is the host's.

const os = @import("../os.zig").os;

pub const Bell = struct {
    end: i32,
    host_end: i32,

    pub fn open(self: *Bell, _: u16) i32 {
        var ends: [2]i32 = undefined;
        const code = os.socketPair(&ends);
        if (code >= 0) self.* = .{ .end = ends[0], .host_end = ends[1] };
        return code;
    }

    /// Closes the host's end as well, when nobody has come for it. A host that had has closed it by now.
    pub fn reclaim(self: *Bell) void {
        if (!isHungUp(self.end)) _ = os.close(self.host_end);
    }

    /// Whether the other end is closed. macOS does not even tell that where nothing is asked for.
    fn isHungUp(end: i32) bool {
        var entries = [_]os.PollEntry{.{ .fd = end, .events = os.POLL.IN, .revents = 0 }};
        return os.poll(&entries, 0) == 1 and entries[0].revents & os.POLL.HUP != 0;
    }
};
