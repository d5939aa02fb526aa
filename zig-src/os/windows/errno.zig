//! Windows's errors as errnos: the names that every system has, with the numbers that Node and Bun give them there,
//! which are libuv's.

/// Those that are given here, or known in `src/`. Where libuv has no number, it is Microsoft's C library's.
pub const Errno = enum(u16) {
    ACCES = 4092,
    ADDRINUSE = 4091,
    ADDRNOTAVAIL = 4090,
    AFNOSUPPORT = 4089,
    AGAIN = 4088,
    ALREADY = 4084,
    BADF = 4083,
    CANCELED = 4081,
    CONNABORTED = 4079,
    CONNREFUSED = 4078,
    CONNRESET = 4077,
    DESTADDRREQ = 4076,
    FAULT = 4074,
    HOSTDOWN = 4031,
    HOSTUNREACH = 4073,
    INPROGRESS = 112,
    INTR = 4072,
    INVAL = 4071,
    ISCONN = 4069,
    LOOP = 4067,
    MFILE = 4066,
    MSGSIZE = 4065,
    NAMETOOLONG = 4064,
    NETDOWN = 4063,
    NETRESET = 117,
    NETUNREACH = 4062,
    NFILE = 4061,
    NOBUFS = 4060,
    NOMEM = 4057,
    NOPROTOOPT = 4035,
    NOTCONN = 4053,
    NOTSOCK = 4050,
    NOTSUP = 4049,
    PERM = 4048,
    PIPE = 4047,
    PROTO = 4046,
    PROTONOSUPPORT = 4045,
    PROTOTYPE = 4044,
    SOCKTNOSUPPORT = 4025,
    SPIPE = 4041,
    SRCH = 4040,
    TIMEDOUT = 4039,
    UNKNOWN = 4094,
};

/// Of an error of Win32 or Winsock, which share their numbers. Those that no call of ours is known to give are UNKNOWN,
/// as in libuv: their own numbers would be taken for something else.
pub fn fromSystem(code: u32) Errno {
    return switch (code) {
        4 => .MFILE, // ERROR_TOO_MANY_OPEN_FILES
        5 => .ACCES, // ERROR_ACCESS_DENIED
        6 => .BADF, // ERROR_INVALID_HANDLE
        8, 14, 1450, 1455 => .NOMEM, // ERROR_NOT_ENOUGH_MEMORY, _OUTOFMEMORY, _NO_SYSTEM_RESOURCES, _COMMITMENT_LIMIT
        50 => .NOTSUP, // ERROR_NOT_SUPPORTED
        64 => .CONNRESET, // ERROR_NETNAME_DELETED
        87 => .INVAL, // ERROR_INVALID_PARAMETER
        121, 1460 => .TIMEDOUT, // ERROR_SEM_TIMEOUT, ERROR_TIMEOUT
        995, 1223 => .CANCELED, // ERROR_OPERATION_ABORTED, ERROR_CANCELLED
        1225, 1234 => .CONNREFUSED, // ERROR_CONNECTION_REFUSED, ERROR_PORT_UNREACHABLE
        1231 => .NETUNREACH, // ERROR_NETWORK_UNREACHABLE
        1232 => .HOSTUNREACH, // ERROR_HOST_UNREACHABLE
        1236 => .CONNABORTED, // ERROR_CONNECTION_ABORTED
        // WSAEINTR and so on, in their order.
        10_004 => .INTR,
        10_009 => .BADF,
        10_013 => .ACCES,
        10_014 => .FAULT,
        10_022 => .INVAL,
        10_024 => .MFILE,
        10_035 => .AGAIN,
        10_036 => .INPROGRESS,
        10_037 => .ALREADY,
        10_038 => .NOTSOCK,
        10_039 => .DESTADDRREQ,
        10_040 => .MSGSIZE,
        10_041 => .PROTOTYPE,
        10_042 => .NOPROTOOPT,
        10_043 => .PROTONOSUPPORT,
        10_044 => .SOCKTNOSUPPORT,
        10_045 => .NOTSUP,
        10_046, 10_047 => .AFNOSUPPORT, // WSAEPFNOSUPPORT, WSAEAFNOSUPPORT
        10_048 => .ADDRINUSE,
        10_049 => .ADDRNOTAVAIL,
        10_050, 10_091, 10_093 => .NETDOWN, // WSAENETDOWN, WSASYSNOTREADY, WSANOTINITIALISED
        10_051 => .NETUNREACH,
        10_052 => .NETRESET,
        10_053 => .CONNABORTED,
        10_054 => .CONNRESET,
        10_055 => .NOBUFS,
        10_056 => .ISCONN,
        10_057 => .NOTCONN,
        10_058 => .PIPE, // WSAESHUTDOWN
        10_060 => .TIMEDOUT,
        10_061 => .CONNREFUSED,
        10_062 => .LOOP,
        10_063 => .NAMETOOLONG,
        10_064 => .HOSTDOWN,
        10_065 => .HOSTUNREACH,
        else => .UNKNOWN,
    };
}
