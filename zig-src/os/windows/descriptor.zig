//! Descriptors on Windows: a SOCKET, or the HANDLE of an event, a process or a completion port with `waitable_tag`.
//! Handles have few enough bits for an i32, and SOCKETs, but for those of ancient providers, are handles.

const std = @import("std");
const win32 = @import("win32.zig");
const errnos = @import("errno.zig");
const HANDLE = win32.HANDLE;
const SOCKET = win32.SOCKET;

/// What is waited for as a whole, and is no socket, has this bit, which the system itself overlooks.
pub const waitable_tag = 1;

pub fn failure(errno: errnos.Errno) i32 {
    return -@as(i32, @intFromEnum(errno));
}

/// Of this thread's last failing call of Win32 or Winsock.
pub fn lastFailure() i32 {
    return failure(errnos.fromSystem(win32.GetLastError()));
}

pub fn socketOf(descriptor: i32) SOCKET {
    const is_socket = descriptor > 0 and descriptor & waitable_tag == 0 and !Graves.has(descriptor);
    return if (is_socket) @intCast(descriptor) else win32.invalid_socket;
}

/// null for numbers that are no handle, some of which would mean this process or thread.
pub fn handleOf(descriptor: i32) ?HANDLE {
    if (descriptor <= 0 or Graves.has(descriptor)) return null;
    return @ptrFromInt(@as(usize, @intCast(descriptor)) & ~@as(usize, waitable_tag));
}

/// Takes a new handle over.
pub fn waitableOf(handle: ?HANDLE) i32 {
    const new = handle orelse return lastFailure();
    if (std.math.cast(i32, @intFromPtr(new))) |number| return number | waitable_tag;
    _ = win32.CloseHandle(new);
    return failure(.MFILE);
}

/// 0 when the number is that of something open.
pub fn checkOpen(descriptor: i32) i32 {
    var flags: u32 = undefined;
    return if (win32.GetHandleInformation(handleOf(descriptor), &flags) == 0) failure(.BADF) else 0;
}

pub fn close(descriptor: i32) i32 {
    Graves.leave(descriptor);
    const is_closed = if (descriptor & waitable_tag != 0)
        win32.CloseHandle(handleOf(descriptor)) != 0
    else
        win32.closesocket(socketOf(descriptor)) == 0;
    return if (is_closed) 0 else lastFailureOf(descriptor);
}

/// Winsock says of a closed number that it is no socket.
pub fn lastFailureOf(descriptor: i32) i32 {
    const code = lastFailure();
    return if (code == failure(.NOTSOCK) and checkOpen(descriptor) < 0) failure(.BADF) else code;
}

/// Lets a socket answer every call of ours with EBADF, while it keeps its number until it is closed.
pub fn bury(descriptor: i32) i32 {
    const code = checkOpen(descriptor);
    if (code < 0) return code;
    const both_directions = 2;
    _ = win32.shutdown(socketOf(descriptor), both_directions);
    return Graves.dig(descriptor);
}

/// The sockets that are buried: rarely any. POSIX puts a dead file in their place, which here nothing can.
const Graves = struct {
    var lock: Lock = .{};
    var count: std.atomic.Value(usize) = .init(0);
    var numbers: std.ArrayList(i32) = .empty;

    fn has(descriptor: i32) bool {
        if (count.load(.acquire) == 0) return false;
        lock.lock();
        defer lock.unlock();
        return std.mem.indexOfScalar(i32, numbers.items, descriptor) != null;
    }

    fn dig(descriptor: i32) i32 {
        lock.lock();
        defer lock.unlock();
        numbers.append(std.heap.page_allocator, descriptor) catch return failure(.NOMEM);
        count.store(numbers.items.len, .release);
        return 0;
    }

    fn leave(descriptor: i32) void {
        if (count.load(.acquire) == 0) return;
        lock.lock();
        defer lock.unlock();
        const place = std.mem.indexOfScalar(i32, numbers.items, descriptor) orelse return;
        _ = numbers.swapRemove(place);
        count.store(numbers.items.len, .release);
    }
};

pub const Lock = struct {
    inner: ?*anyopaque = null,

    pub fn lock(self: *Lock) void {
        win32.RtlAcquireSRWLockExclusive(&self.inner);
    }

    pub fn unlock(self: *Lock) void {
        win32.RtlReleaseSRWLockExclusive(&self.inner);
    }
};
