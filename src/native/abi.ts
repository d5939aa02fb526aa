// Generated from zig-src/abi.zig by `zig build abi`; do not edit.

export const ABI_VERSION = 9;
export const EVENT_CAPACITY = 65536;
export const LOOKUP_ADDRESS_CAPACITY = 32;

export const Code = {
  staleHandle: -10001,
  unknownBackend: -10002,
  closed: -10003,
  outOfBounds: -10004,
  notSupported: -10005,
} as const;

export const Backend = {
  epoll: 1,
  select: 2,
  kqueue: 3,
  iocp: 4,
} as const;

export const Readiness = {
  read: 1,
  write: 2,
  failed: 4,
} as const;

export const Domain = {
  unspecified: 0,
  unix: 1,
  inet: 2,
  inet6: 10,
} as const;

export const SocketType = {
  stream: 1,
  datagram: 2,
  raw: 3,
} as const;

export const TransferFlag = {
  peek: 1,
} as const;

export const Option = {
  acceptConn: 1,
  broadcast: 2,
  debug: 3,
  dontRoute: 4,
  keepAlive: 5,
  oobInline: 6,
  reuseAddr: 7,
  reusePort: 8,
  noDelay: 9,
  sendBuffer: 10,
  receiveBuffer: 11,
  linger: 12,
  pendingError: 13,
  domain: 14,
  socketType: 15,
} as const;

/** On Windows, as Node and Bun number them; `os.constants` has other numbers. */
export const WindowsErrno = {
  EACCES: 4092,
  EADDRINUSE: 4091,
  EADDRNOTAVAIL: 4090,
  EAFNOSUPPORT: 4089,
  EAGAIN: 4088,
  EALREADY: 4084,
  EBADF: 4083,
  ECANCELED: 4081,
  ECONNABORTED: 4079,
  ECONNREFUSED: 4078,
  ECONNRESET: 4077,
  EDESTADDRREQ: 4076,
  EFAULT: 4074,
  EHOSTDOWN: 4031,
  EHOSTUNREACH: 4073,
  EINPROGRESS: 112,
  EINTR: 4072,
  EINVAL: 4071,
  EISCONN: 4069,
  ELOOP: 4067,
  EMFILE: 4066,
  EMSGSIZE: 4065,
  ENAMETOOLONG: 4064,
  ENETDOWN: 4063,
  ENETRESET: 117,
  ENETUNREACH: 4062,
  ENFILE: 4061,
  ENOBUFS: 4060,
  ENOMEM: 4057,
  ENOPROTOOPT: 4035,
  ENOTCONN: 4053,
  ENOTSOCK: 4050,
  ENOTSUP: 4049,
  EPERM: 4048,
  EPIPE: 4047,
  EPROTO: 4046,
  EPROTONOSUPPORT: 4045,
  EPROTOTYPE: 4044,
  ESOCKTNOSUPPORT: 4025,
  ESPIPE: 4041,
  ESRCH: 4040,
  ETIMEDOUT: 4039,
  EUNKNOWN: 4094,
} as const;

/** In the order of `abi_struct_size`. */
export const STRUCT_SIZES = {
  Handle: 8,
  Event: 12,
  Address: 124,
  Lookup: 3984,
  ProcessStatus: 12,
} as const;

export const HandleLayout = {
  size: 8,
  index: 0,
  generation: 4,
} as const;

export const EventLayout = {
  size: 12,
  index: 0,
  generation: 4,
  readiness: 8,
} as const;

export const AddressLayout = {
  size: 124,
  domain: 0,
  port: 4,
  scope: 8,
  length: 12,
  bytes: 16,
} as const;

export const LookupLayout = {
  size: 3984,
  ticket: 0,
  status: 4,
  systemError: 8,
  count: 12,
  addresses: 16,
} as const;

export const ProcessStatusLayout = {
  size: 12,
  known: 0,
  exitCode: 4,
  signal: 8,
} as const;

export const symbols = {
  abi_version: { args: [], returns: "u32" },
  abi_struct_size: { args: ["u32"], returns: "u32" },
  selector_backends: { args: [], returns: "u32" },
  custody_create: { args: [], returns: "ptr" },
  custody_free_address: { args: [], returns: "ptr" },
  selector_create: { args: [], returns: "ptr" },
  selector_open: { args: ["ptr", "u32"], returns: "i32" },
  selector_events: { args: ["ptr"], returns: "ptr" },
  selector_close: { args: ["ptr"], returns: "void" },
  selector_abandon: { args: ["ptr"], returns: "void" },
  selector_free_address: { args: [], returns: "ptr" },
  selector_descriptor: { args: ["ptr"], returns: "i32" },
  selector_register: { args: ["ptr", "ptr", "i32", "u32", "buffer"], returns: "i32" },
  selector_set_interest: { args: ["ptr", "u32", "u32", "u32"], returns: "i32" },
  selector_unregister: { args: ["ptr", "ptr", "u32", "u32", "u32"], returns: "i32" },
  selector_wait: { args: ["ptr", "f64", "u32"], returns: "i32" },
  selector_clock: { args: [], returns: "f64" },
  bridge_create: { args: [], returns: "ptr" },
  bridge_open: { args: ["ptr", "ptr", "u32"], returns: "i32" },
  bridge_host_end: { args: ["ptr"], returns: "i32" },
  bridge_arm: { args: ["ptr", "ptr", "f64"], returns: "i32" },
  bridge_close: { args: ["ptr"], returns: "void" },
  bridge_free_address: { args: [], returns: "ptr" },
  file_open: { args: ["ptr", "buffer", "buffer_length", "u32", "u32"], returns: "i32" },
  descriptor_close: { args: ["ptr", "i32"], returns: "i32" },
  socket_open: { args: ["ptr", "u32", "u32", "u32", "u32"], returns: "i32" },
  socket_bury: { args: ["i32"], returns: "i32" },
  socket_bind: { args: ["i32", "buffer"], returns: "i32" },
  socket_listen: { args: ["i32", "i32"], returns: "i32" },
  socket_connect: { args: ["i32", "buffer"], returns: "i32" },
  socket_accept: { args: ["ptr", "i32", "buffer", "u32"], returns: "i32" },
  socket_local_address: { args: ["i32", "buffer"], returns: "i32" },
  socket_peer_address: { args: ["i32", "buffer"], returns: "i32" },
  socket_receive: { args: ["i32", "buffer", "buffer_length", "u32", "u32"], returns: "i32" },
  socket_available: { args: ["i32"], returns: "i32" },
  socket_send: { args: ["i32", "buffer", "buffer_length", "u64", "u32"], returns: "i32" },
  socket_receive_from: { args: ["i32", "buffer", "buffer_length", "u32", "u32", "buffer"], returns: "i32" },
  socket_send_to: { args: ["i32", "buffer", "buffer_length", "buffer", "u32"], returns: "i32" },
  socket_get_option: { args: ["i32", "u32", "buffer"], returns: "i32" },
  socket_set_option: { args: ["i32", "u32", "i32"], returns: "i32" },
  descriptor_set_inheritable: { args: ["i32", "u32"], returns: "i32" },
  descriptor_limit: { args: [], returns: "i32" },
  resolver_create: { args: [], returns: "ptr" },
  resolver_open: { args: ["ptr"], returns: "i32" },
  resolver_descriptor: { args: ["ptr"], returns: "i32" },
  resolver_start: { args: ["ptr", "buffer", "buffer_length", "u32", "u32", "u32", "u32"], returns: "i32" },
  resolver_cancel: { args: ["ptr", "u32"], returns: "void" },
  resolver_take: { args: ["ptr", "buffer"], returns: "i32" },
  resolver_close: { args: ["ptr"], returns: "void" },
  resolver_free_address: { args: [], returns: "ptr" },
  resolve_now: { args: ["buffer", "buffer_length", "u32", "u32", "u32", "buffer"], returns: "i32" },
  resolve_error_text: { args: ["i32"], returns: "cstring" },
  event_create: { args: [], returns: "ptr" },
  event_open_new: { args: ["ptr", "buffer"], returns: "i32" },
  event_open: { args: ["ptr", "u32", "u32"], returns: "i32" },
  event_descriptor: { args: ["u32", "u32"], returns: "i32" },
  event_trigger: { args: ["u32", "u32"], returns: "i32" },
  event_take: { args: ["u32", "u32"], returns: "i32" },
  event_release: { args: ["ptr"], returns: "void" },
  event_free_address: { args: [], returns: "ptr" },
  process_create: { args: [], returns: "ptr" },
  process_open: { args: ["ptr", "i32"], returns: "i32" },
  process_descriptor: { args: ["ptr"], returns: "i32" },
  process_status: { args: ["ptr", "buffer"], returns: "i32" },
  process_close: { args: ["ptr"], returns: "void" },
  process_free_address: { args: [], returns: "ptr" },
  signal_create: { args: [], returns: "ptr" },
  signal_open: { args: ["ptr", "i32"], returns: "i32" },
  signal_descriptor: { args: ["ptr"], returns: "i32" },
  signal_take: { args: ["ptr"], returns: "i32" },
  signal_close: { args: ["ptr"], returns: "void" },
  signal_free_address: { args: [], returns: "ptr" },
} as const;
