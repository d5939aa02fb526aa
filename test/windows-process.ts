// What Windows tells of a process: its handles, threads and memory. Not to be called on another system.
import { dlopen } from "bun:ffi";

const native = process.platform === "win32" ? openWindows() : undefined;

function openWindows() {
  const { symbols: kernel32 } = dlopen("kernel32", {
    CloseHandle: { args: ["usize"], returns: "i32" },
    CreateToolhelp32Snapshot: { args: ["u32", "u32"], returns: "usize" },
    Module32First: { args: ["usize", "buffer"], returns: "i32" },
    Module32Next: { args: ["usize", "buffer"], returns: "i32" },
  });
  const { symbols: ntdll } = dlopen("ntdll", {
    NtQuerySystemInformation: { args: ["i32", "buffer", "u32", "usize"], returns: "i32" },
  });
  return { ...kernel32, ...ntdll };
}

function windows(): NonNullable<typeof native> {
  if (native === undefined) throw new Error("This is not Windows");
  return native;
}

/** Kinds of NtQuerySystemInformation: processes with their threads, and handles. */
const [PROCESSES, HANDLES] = [57, 64];
const LENGTH_MISMATCH = 0xc0000004 | 0;

let memory = new Uint8Array(64 * 1024);

/** Valid until the next call. */
function systemInformation(kind: number): DataView {
  for (;;) {
    const status = windows().NtQuerySystemInformation(kind, memory, memory.length, 0);
    if (status === 0) return new DataView(memory.buffer);
    if (status !== LENGTH_MISMATCH) throw new Error(`NtQuerySystemInformation failed with ${status}`);
    memory = new Uint8Array(2 * memory.length);
  }
}

const wordAt = (view: DataView, offset: number): number => Number(view.getBigUint64(offset, true));

/** The handles of a process, of any kind. */
export function handlesOf(pid: number): number[] {
  const view = systemInformation(HANDLES);
  const [header, size] = [16, 40];
  const entries = Array.from({ length: wordAt(view, 0) }, (_, i) => header + i * size);
  return entries.filter((entry) => wordAt(view, entry + 8) === pid).map((entry) => wordAt(view, entry + 16));
}

interface Thread {
  readonly id: number;
  readonly startAddress: number;
}

interface Process {
  readonly threads: Thread[];
  readonly virtualKiB: number;
  readonly residentKiB: number;
  /** What it shares with no other process. */
  readonly privateKiB: number;
}

export function processOf(pid: number): Process {
  const view = systemInformation(PROCESSES);
  for (let at = 0; ; ) {
    if (wordAt(view, at + 80) === pid) return processAt(view, at);
    const next = view.getUint32(at, true);
    if (next === 0) throw new Error(`There is no process ${pid}`);
    at += next;
  }
}

function processAt(view: DataView, at: number): Process {
  const [header, size] = [256, 136];
  const threads = Array.from({ length: view.getUint32(at + 4, true) }, (_, i) => at + header + i * size);
  return {
    threads: threads.map((thread) => ({ id: wordAt(view, thread + 48), startAddress: wordAt(view, thread + 96) })),
    virtualKiB: wordAt(view, at + 120) / 1024,
    residentKiB: wordAt(view, at + 144) / 1024,
    privateKiB: wordAt(view, at + 184) / 1024,
  };
}

/** The threads of a process that a module of this name has started. */
export function threadsOfModule(pid: number, name: string): number[] {
  const { start, size } = moduleOf(pid, name);
  const isOfModule = ({ startAddress }: Thread) => startAddress >= start && startAddress < start + size;
  for (let triesLeft = 1000; ; triesLeft--) {
    const { threads } = processOf(pid);
    // Wine does not know where a thread starts before it has started.
    const areKnown = threads.every(({ startAddress }) => startAddress !== 0);
    if (areKnown || triesLeft === 0) return threads.filter(isOfModule).map(({ id }) => id);
    Bun.sleepSync(1);
  }
}

function moduleOf(pid: number, name: string): { start: number; size: number } {
  const modulesOfProcess = 8;
  const { CreateToolhelp32Snapshot, Module32First, Module32Next, CloseHandle } = windows();
  const snapshot = CreateToolhelp32Snapshot(modulesOfProcess, pid);
  const entry = Buffer.alloc(568);
  entry.writeUInt32LE(entry.length);
  try {
    for (let found = Module32First(snapshot, entry); found !== 0; found = Module32Next(snapshot, entry)) {
      const module = entry.toString("latin1", 48, entry.indexOf(0, 48));
      if (module === name) return { start: Number(entry.readBigUInt64LE(24)), size: entry.readUInt32LE(32) };
    }
  } finally {
    CloseHandle(snapshot);
  }
  throw new Error(`Process ${pid} has no module ${name}`);
}
