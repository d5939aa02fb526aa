//! Writes `src/native/abi.ts` to stdout, from `abi.zig` and the signatures in `lib.zig`.

const std = @import("std");
const abi = @import("abi.zig");
const lib = @import("lib.zig");
const WindowsErrno = @import("os/windows/errno.zig").Errno;
const Writer = std.Io.Writer;

pub fn main(init: std.process.Init) !void {
    var buffer: [4096]u8 = undefined;
    // Streaming: stdout may be a file that others write to as well, and a positional write would start at 0.
    var stdout: std.Io.File.Writer = .initStreaming(.stdout(), init.io, &buffer);
    try write(&stdout.interface);
    try stdout.interface.flush();
}

fn write(out: *Writer) Writer.Error!void {
    try out.writeAll("// Generated from zig-src/abi.zig by `zig build abi`; do not edit.\n\n");
    try out.print("export const ABI_VERSION = {d};\n", .{abi.version});
    try out.print("export const EVENT_CAPACITY = {d};\n", .{abi.event_capacity});
    try out.print("export const LOOKUP_ADDRESS_CAPACITY = {d};\n", .{abi.lookup_address_capacity});
    inline for (.{ "Code", "Backend", "Readiness", "Domain", "SocketType", "TransferFlag", "Option" }) |name| {
        try writeNumbers(out, name, @field(abi, name));
    }
    try writeWindowsErrno(out);
    try writeStructs(out);
    try writeSymbols(out);
}

fn writeWindowsErrno(out: *Writer) Writer.Error!void {
    try out.writeAll("\n/** On Windows, as Node and Bun number them; `os.constants` has other numbers. */\n");
    try out.writeAll("export const WindowsErrno = {\n");
    inline for (@typeInfo(WindowsErrno).@"enum".fields) |field| {
        try out.print("  E{s}: {d},\n", .{ field.name, field.value });
    }
    try out.writeAll("} as const;\n");
}

/// The fields of an enum, or the constants of a namespace.
fn writeNumbers(out: *Writer, name: []const u8, comptime T: type) Writer.Error!void {
    try out.print("\nexport const {s} = {{\n", .{name});
    switch (@typeInfo(T)) {
        .@"enum" => |info| inline for (info.fields) |field| {
            try writeNumber(out, field.name, field.value);
        },
        .@"struct" => |info| inline for (info.decls) |decl| {
            try writeNumber(out, decl.name, @field(T, decl.name));
        },
        else => comptime unreachable,
    }
    try out.writeAll("} as const;\n");
}

fn writeNumber(out: *Writer, name: []const u8, value: i64) Writer.Error!void {
    try out.writeAll("  ");
    try writeCamelCase(out, name);
    try out.print(": {d},\n", .{value});
}

fn writeStructs(out: *Writer) Writer.Error!void {
    try out.writeAll("\n/** In the order of `abi_struct_size`. */\nexport const STRUCT_SIZES = {\n");
    inline for (abi.structs) |Struct| {
        try out.print("  {s}: {d},\n", .{ baseName(Struct), @sizeOf(Struct) });
    }
    try out.writeAll("} as const;\n");
    inline for (abi.structs) |Struct| {
        try out.print("\nexport const {s}Layout = {{\n", .{baseName(Struct)});
        try writeNumber(out, "size", @sizeOf(Struct));
        inline for (@typeInfo(Struct).@"struct".fields) |field| {
            try writeNumber(out, field.name, @offsetOf(Struct, field.name));
        }
        try out.writeAll("} as const;\n");
    }
}

fn writeSymbols(out: *Writer) Writer.Error!void {
    try out.writeAll("\nexport const symbols = {\n");
    inline for (@typeInfo(lib).@"struct".decls) |decl| {
        switch (@typeInfo(@TypeOf(@field(lib, decl.name)))) {
            .@"fn" => |function| try writeSymbol(out, decl.name, function),
            else => {},
        }
    }
    try out.writeAll("} as const;\n");
}

fn writeSymbol(out: *Writer, name: []const u8, comptime function: std.builtin.Type.Fn) Writer.Error!void {
    try out.print("  {s}: {{ args: [", .{name});
    comptime var previous: ?type = null;
    inline for (function.params) |param| {
        const separator = if (previous == null) "" else ", ";
        try out.print("{s}\"{s}\"", .{ separator, comptime argumentType(param.type.?, previous) });
        previous = param.type.?;
    }
    try out.print("], returns: \"{s}\" }},\n", .{comptime resultType(function.return_type.?)});
}

/// bun:ffi's name for an argument. A length behind bytes is taken from the same view as the bytes, by the
/// engine, so the two always agree.
fn argumentType(comptime T: type, comptime previous: ?type) []const u8 {
    if (T == u64) return if (previous != null and isBytes(previous.?)) "buffer_length" else "u64";
    if (isBytes(T)) return "buffer";
    if (scalarType(T)) |name| return name;
    return switch (Pointee(T)) {
        lib.Custody, lib.Selector, lib.Bridge, lib.Resolver => "ptr",
        lib.EventReference, lib.Process, lib.SignalWatch, anyopaque => "ptr",
        i32, abi.Handle, abi.Address, abi.Lookup, abi.ProcessStatus => "buffer",
        else => @compileError("no bun:ffi type for " ++ @typeName(T)),
    };
}

fn resultType(comptime T: type) []const u8 {
    if (T == void) return "void";
    if (T == ?[*:0]const u8) return "cstring";
    if (scalarType(T)) |name| return name;
    _ = Pointee(T);
    return "ptr";
}

fn scalarType(comptime T: type) ?[]const u8 {
    return switch (T) {
        i32, u32, f64 => @typeName(T),
        else => null,
    };
}

fn isBytes(comptime T: type) bool {
    return T == ?[*]u8 or T == ?[*]const u8;
}

fn Pointee(comptime T: type) type {
    return switch (@typeInfo(T)) {
        .optional => |optional| Pointee(optional.child),
        .pointer => |pointer| pointer.child,
        else => @compileError("no bun:ffi type for " ++ @typeName(T)),
    };
}

fn baseName(comptime T: type) []const u8 {
    const full = @typeName(T);
    return full[comptime std.mem.lastIndexOfScalar(u8, full, '.').? + 1..];
}

fn writeCamelCase(out: *Writer, name: []const u8) Writer.Error!void {
    var words = std.mem.splitScalar(u8, name, '_');
    try out.writeAll(words.first());
    while (words.next()) |word| {
        try out.writeByte(std.ascii.toUpper(word[0]));
        try out.writeAll(word[1..]);
    }
}
