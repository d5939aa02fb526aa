//! What kqueue's calls take and give, as macOS has it and as FreeBSD does. `zig build check-headers` compares it with
//! the systems' own headers. On other systems it is FreeBSD's, for the model that the tests run on.

const builtin = @import("builtin");

const is_macos = builtin.os.tag == .macos;

pub const Kevent = if (is_macos) extern struct {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: isize,
    udata: u64,
} else extern struct {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: i64,
    udata: u64,
    ext: [4]u64 = @splat(0),
};

pub const EVFILT = struct {
    pub const READ = -1;
    pub const WRITE = -2;
    pub const PROC = -5;
    pub const TIMER = -7;
    pub const USER = if (is_macos) -10 else -11;
};

pub const EV = struct {
    pub const ADD = 0x0001;
    pub const DELETE = 0x0002;
    pub const ENABLE = 0x0004;
    pub const DISABLE = 0x0008;
    pub const ONESHOT = 0x0010;
    pub const CLEAR = 0x0020;
    pub const RECEIPT = 0x0040;
    pub const DISPATCH = 0x0080;
    pub const ERROR = 0x4000;
    pub const EOF = 0x8000;
};

pub const NOTE = struct {
    pub const TRIGGER = 0x0100_0000;
    pub const EXIT = 0x8000_0000;
    /// macOS tells how the process ended only when it is asked to; FreeBSD always does.
    pub const EXITSTATUS = if (is_macos) 0x0400_0000 else 0;
};
