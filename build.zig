//! Steps: install (the library), `test`, `abi` (writes src/native/abi.ts), `abi-print`.

const std = @import("std");

pub fn build(b: *std.Build) void {
    // A generic CPU by default: what one machine builds, another may run.
    const target = b.standardTargetOptions(.{ .default_target = .{ .cpu_model = .baseline } });
    const optimize = b.option(std.builtin.OptimizeMode, "optimize", "ReleaseSafe by default, Debug for the tests");

    addLibrary(b, target, optimize orelse .ReleaseSafe);
    addTests(b, target, optimize orelse .Debug);
    addAbiSteps(b);
}

fn addLibrary(b: *std.Build, target: std.Build.ResolvedTarget, optimize: std.builtin.OptimizeMode) void {
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
    b.installArtifact(library);
}

fn addTests(b: *std.Build, target: std.Build.ResolvedTarget, optimize: std.builtin.OptimizeMode) void {
    const tests = b.addTest(.{
        .root_module = b.createModule(.{
            .root_source_file = b.path("zig-src/tests.zig"),
            .target = target,
            .optimize = optimize,
            .link_libc = true,
        }),
    });
    b.step("test", "Run the behaviour suite on every backend").dependOn(&b.addRunArtifact(tests).step);
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
