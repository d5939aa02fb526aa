//! The end of a process as readiness: a descriptor that is readable once the process has ended.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os.zig").os;
const Pool = @import("pool.zig").Pool;

/// A process with an owner, which closes it early or leaves it to the deallocator.
pub const Process = struct {
    descriptor: i32,
    /// Some systems tell only once.
    exit: abi.ProcessStatus,

    var pool: Pool(Process) = .{};

    /// Of no process yet; null when there is no memory.
    pub fn create() ?*Process {
        const self = pool.create() catch return null;
        self.* = .{ .descriptor = -1, .exit = .{} };
        return self;
    }

    /// ESRCH when there is no such process.
    pub fn open(self: *Process, pid: i32) i32 {
        self.descriptor = os.processOpen(pid, &self.exit);
        return @min(self.descriptor, 0);
    }

    /// How the process ended, as far as the system tells. Never reaps: a child stays its parent's to wait for.
    pub fn status(self: *Process, exit: *abi.ProcessStatus) i32 {
        const code = if (self.exit.known == 0) os.processStatus(self.descriptor, &self.exit) else 0;
        exit.* = self.exit;
        return code;
    }

    /// Idempotent. The descriptor must have left every selector: an epoll set reports one that was closed first
    /// a second time.
    pub fn close(self: *Process) void {
        if (self.descriptor < 0) return;
        _ = os.close(self.descriptor);
        self.descriptor = -1;
    }

    pub fn free(self: *Process) void {
        self.close();
        pool.destroy(self);
    }
};
