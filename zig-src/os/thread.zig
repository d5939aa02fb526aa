//! POSIX threads. On Linux the symbols stay undefined in our file: the process that loads it has them, whether its C
//! library is glibc or musl. std.Thread does not work in a library that links no libc.

pub const Thread = struct {
    id: usize,

    /// Returns 0 or `-errno`. The thread runs until `run` returns; then `join` it, unless it was detached.
    pub fn start(self: *Thread, run: *const fn (?*anyopaque) callconv(.c) ?*anyopaque, context: ?*anyopaque) i32 {
        return -pthread_create(&self.id, null, run, context);
    }

    pub fn join(self: Thread) void {
        _ = pthread_join(self.id, null);
    }

    pub fn detach(self: Thread) void {
        _ = pthread_detach(self.id);
    }
};

extern fn pthread_create(
    thread: *usize,
    attributes: ?*const anyopaque,
    run: *const fn (?*anyopaque) callconv(.c) ?*anyopaque,
    context: ?*anyopaque,
) c_int;
extern fn pthread_join(thread: usize, result: ?*?*anyopaque) c_int;
extern fn pthread_detach(thread: usize) c_int;
