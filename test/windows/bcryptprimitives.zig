//! The one library that Bun for Windows needs and Wine 8 lacks, with the one function that Bun takes from it.

extern "advapi32" fn SystemFunction036(memory: [*]u8, size: u32) callconv(.winapi) u8;

/// Fills the memory with random bytes, and always succeeds.
export fn ProcessPrng(memory: [*]u8, size: usize) callconv(.winapi) c_int {
    const part_size = 1 << 20;
    var filled: usize = 0;
    while (filled < size) : (filled += part_size) {
        _ = SystemFunction036(memory + filled, @intCast(@min(size - filled, part_size)));
    }
    return 1;
}
