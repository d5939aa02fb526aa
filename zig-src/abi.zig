//! What crosses the border to JavaScript: structs, enums, flags, limits and the signature of every export.
//! The one source of `src/native/abi.ts`, which `zig build abi` writes; a test checks that it is fresh.

/// Raised by one whenever a struct, a code or a signature below changes its meaning.
pub const version: u32 = 9;

/// Events that one wait can return at most; the array is reserved for them once and never moves.
pub const event_capacity: u32 = 65_536;
/// Addresses that one lookup can return at most.
pub const lookup_address_capacity: u32 = 32;

/// Results are counts or descriptors when positive, `-errno` of the operating system when negative,
/// or one of these, which lie below every errno.
pub const Code = enum(i32) {
    /// The handle's generation is not the table's: what it named is gone.
    stale_handle = -10_001,
    /// This operating system has no such selector.
    unknown_backend = -10_002,
    /// The selector has been closed.
    closed = -10_003,
    /// An offset or a size lies outside the memory that was passed.
    out_of_bounds = -10_004,
    /// An address, a domain or an option that this system does not have.
    not_supported = -10_005,
};

/// Which of them a system has, `selector_backends` says.
pub const Backend = enum(u32) { epoll = 1, select = 2, kqueue = 3, iocp = 4 };

/// Bits of an interest and of an event's readiness. `failed` is never asked for and may always come.
pub const Readiness = struct {
    pub const read: u32 = 1;
    pub const write: u32 = 2;
    pub const failed: u32 = 4;
};

/// Names one registration; the generation tells it from an older one in the same place.
pub const Handle = extern struct { index: u32, generation: u32 };
pub const Event = extern struct { index: u32, generation: u32, readiness: u32 };

/// One number per domain on every system (Linux's own).
pub const Domain = enum(u32) { unspecified = 0, unix = 1, inet = 2, inet6 = 10, _ };
pub const SocketType = enum(u32) { stream = 1, datagram = 2, raw = 3, _ };

/// A socket address without the system's layout. `bytes` holds 4 or 16 address bytes or a UNIX path;
/// `length` says how many.
pub const Address = extern struct {
    domain: u32 = 0,
    port: u32 = 0,
    scope: u32 = 0,
    length: u32 = 0,
    bytes: [108]u8 = @splat(0),
};

/// Flags of `socket_receive`, `socket_send` and their forms for datagrams.
pub const TransferFlag = struct {
    pub const peek: u32 = 1;
};

pub const Option = enum(u32) {
    /// Read only.
    accept_conn = 1,
    broadcast = 2,
    debug = 3,
    dont_route = 4,
    keep_alive = 5,
    oob_inline = 6,
    reuse_addr = 7,
    reuse_port = 8,
    no_delay = 9,
    send_buffer = 10,
    receive_buffer = 11,
    /// Seconds; -1 is off.
    linger = 12,
    /// Read only: the pending error of the socket, positive; reading clears it.
    pending_error = 13,
    /// Read only: a `Domain`.
    domain = 14,
    /// Read only: a `SocketType`.
    socket_type = 15,
};

/// What `resolver_take` fills: one finished lookup. `status` is 0 or getaddrinfo's own error;
/// `system_error` is the errno behind it, where there is one.
pub const Lookup = extern struct {
    ticket: u32 = 0,
    status: i32 = 0,
    system_error: i32 = 0,
    count: u32 = 0,
    addresses: [lookup_address_capacity]Address = @splat(.{}),
};

/// How a process ended, where `known` is not 0: by `signal`, or with `exit_code` when that is 0.
pub const ProcessStatus = extern struct {
    known: u32 = 0,
    exit_code: i32 = 0,
    signal: i32 = 0,
};

/// The structs whose sizes are compared when the library is loaded, in the order of `abi_struct_size`.
pub const structs = .{ Handle, Event, Address, Lookup, ProcessStatus };
