//! The end of a process as readiness: a pidfd, readable once the process has ended.

const std = @import("std");
const abi = @import("../abi.zig");
const os = @import("../os/linux.zig");
const Pool = @import("pool.zig").Pool;

/// A pidfd with an owner, which closes it early or leaves it to the deallocator.
pub const Process = struct {
    descriptor: i32,

    var pool: Pool(Process) = .{};

    /// null on failure, with the reason in `code`: ESRCH when there is no such process.
    pub fn open(pid: i32, code: *i32) ?*Process {
        const self = pool.create() catch {
            code.* = os.failure(.NOMEM);
            return null;
        };
        self.descriptor = os.processOpen(pid);
        code.* = @min(self.descriptor, 0);
        if (self.descriptor >= 0) return self;
        pool.destroy(self);
        return null;
    }

    /// How the process ended, as far as the system tells. Never reaps: a child stays its parent's to wait for.
    pub fn status(self: *const Process, exit: *abi.ProcessStatus) i32 {
        exit.* = .{};
        var code = os.processStatus(self.descriptor, exit);
        // Not a child of ours, or reaped already: newer kernels keep the status in the pidfd once it is reaped.
        if (code == os.failure(.CHILD)) code = os.processStatusReaped(self.descriptor, exit);
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
