//! Steps: install (the library), `all` (for all platforms), `test`, `test-kqueue-model`, `check-headers`, `abi` (writes
//! src/native/abi.ts), `abi-print`.

const std = @import("std");

pub fn build(b: *std.Build) void {
    // A generic CPU by default: what one machine builds, another may run.
    const target = b.standardTargetOptions(.{ .default_target = .{ .cpu_model = .baseline } });
    const optimize = b.option(std.builtin.OptimizeMode, "optimize", "ReleaseSafe by default, Debug for the tests");

    b.installArtifact(createLibrary(b, target, optimize orelse .ReleaseSafe));
    addLibrariesOfAllPlatforms(b, optimize orelse .ReleaseSafe);
    addTests(b, target, optimize orelse .Debug, "test", "Run the behaviour suite on every backend", &.{});
    addTests(b, target, optimize orelse .Debug, "test-kqueue-model", "Run what is about kqueue, on its model", &.{"kqueue"});
    addHeaderChecks(b);
    addAbiSteps(b);
}

/// The folder of a platform is called as Bun calls it there: `process.platform`-`process.arch`.
const platforms = [_]struct { std.Target.Os.Tag, std.Target.Cpu.Arch, []const u8 }{
    .{ .linux, .x86_64, "linux-x64" },
    .{ .linux, .aarch64, "linux-arm64" },
    .{ .macos, .x86_64, "darwin-x64" },
    .{ .macos, .aarch64, "darwin-arm64" },
    .{ .windows, .x86_64, "win32-x64" },
    .{ .windows, .aarch64, "win32-arm64" },
    .{ .freebsd, .x86_64, "freebsd-x64" },
    .{ .freebsd, .aarch64, "freebsd-arm64" },
};

fn addLibrariesOfAllPlatforms(b: *std.Build, optimize: std.builtin.OptimizeMode) void {
    const step = b.step("all", "Build the library for every platform, each into a folder of its own");
    for (platforms) |platform| {
        const os, const cpu, const folder = platform;
        const target = b.resolveTargetQuery(.{ .os_tag = os, .cpu_arch = cpu, .cpu_model = .baseline });
        const install = b.addInstallArtifact(createLibrary(b, target, optimize), .{
            .dest_dir = .{ .override = .{ .custom = folder } },
            .implib_dir = .disabled,
            .pdb_dir = .disabled,
        });
        step.dependOn(&install.step);
    }
}

fn createLibrary(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
) *std.Build.Step.Compile {
    const library = b.addLibrary(.{
        .name = "asyncdispatch",
        .linkage = .dynamic,
        .root_module = b.createModule(.{
            .root_source_file = b.path("zig-src/lib.zig"),
            .target = target,
            .optimize = optimize,
            .strip = true,
        }),
    });
    // The process that loads us has pthread_create and getaddrinfo, be its C library glibc or musl. Other systems have
    // one C library each.
    library.linker_allow_shlib_undefined = target.result.os.tag == .linux;
    return library;
}

fn addTests(
    b: *std.Build,
    target: std.Build.ResolvedTarget,
    optimize: std.builtin.OptimizeMode,
    name: []const u8,
    description: []const u8,
    filters: []const []const u8,
) void {
    const tests = b.addTest(.{
        .filters = filters,
        .root_module = b.createModule(.{
            .root_source_file = b.path("zig-src/tests.zig"),
            .target = target,
            .optimize = optimize,
            // Windows's takes two minutes to build, and is not wanted there.
            .link_libc = target.result.os.tag != .windows,
        }),
    });
    b.step(name, description).dependOn(&b.addRunArtifact(tests).step);
}

fn addHeaderChecks(b: *std.Build) void {
    const step = b.step("check-headers", "Compare our structs and numbers with the headers of macOS and FreeBSD");
    for (platforms) |platform| {
        const system, const cpu, const name = platform;
        if (system != .macos and system != .freebsd) continue;
        const check = b.addObject(.{
            .name = name,
            .root_module = b.createModule(.{
                .root_source_file = b.path("zig-src/check_headers.zig"),
                .target = b.resolveTargetQuery(.{ .os_tag = system, .cpu_arch = cpu }),
                .link_libc = true,
            }),
        });
        step.dependOn(&check.step);
    }
}

fn addAbiSteps(b: *std.Build) void {
    const writer = b.addExecutable(.{
        .name = "abi-writer",
        .root_module = b.createModule(.{
            .root_source_file = b.path("zig-src/abi_writer.zig"),
            .target = b.graph.host,
            .link_libc = true,
        }),
    });

    const update = b.addUpdateSourceFiles();
    update.addCopyFileToSource(b.addRunArtifact(writer).captureStdOut(.{}), "src/native/abi.ts");
    b.step("abi", "Write src/native/abi.ts").dependOn(&update.step);

    const print = b.addRunArtifact(writer);
    print.stdio = .inherit;
    b.step("abi-print", "Print what src/native/abi.ts must hold").dependOn(&print.step);
}
