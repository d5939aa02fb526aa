// Reads a dynamic library of macOS: 64-bit Mach-O for one CPU.
import { type Library, textAt } from "./library.ts";

const CPUS: Record<number, Library["cpu"]> = { 16777223: "x64", 16777228: "arm64" };
const Command = { symbols: 0x02, library: 0x0c, signature: 0x1d };
const SymbolType = { debugging: 0xe0, private: 0x10, kind: 0x0e, external: 0x01 };
const SYMBOL_SIZE = 16;

export interface MachO extends Library {
  /** Apple's own CPUs run nothing that has no signature, be it nobody's in particular. */
  readonly isSigned: boolean;
}

export function readMachO(file: Buffer): MachO {
  if (file.readUInt32LE(0) !== 0xfeedfacf) throw new Error("not a 64-bit Mach-O file");
  const commands = readCommands(file);
  const all = (type: number): number[] => commands.filter((command) => command.type === type).map(({ at }) => at);
  return {
    cpu: CPUS[file.readUInt32LE(4)] ?? "unknown",
    exports: all(Command.symbols).flatMap((at) => readExports(file, at)),
    needed: all(Command.library).map((at) => textAt(file, at + file.readUInt32LE(at + 8))),
    isSigned: all(Command.signature).length > 0,
  };
}

function readCommands(file: Buffer): { type: number; at: number }[] {
  const commands = [];
  let at = 32;
  for (let left = file.readUInt32LE(16); left > 0; left--) {
    commands.push({ type: file.readUInt32LE(at), at });
    at += file.readUInt32LE(at + 4);
  }
  return commands;
}

/** The names of the external symbols that are defined, without the underscore that C's names have here. */
function readExports(file: Buffer, command: number): string[] {
  const [table, count, names] = [8, 12, 16].map((at) => file.readUInt32LE(command + at)) as [number, number, number];
  const exports = [];
  for (let entry = table; entry < table + count * SYMBOL_SIZE; entry += SYMBOL_SIZE) {
    const type = file.readUInt8(entry + 4);
    const isPublic = (type & SymbolType.external) !== 0 && (type & (SymbolType.debugging | SymbolType.private)) === 0;
    const isDefined = (type & SymbolType.kind) !== 0;
    if (isPublic && isDefined) exports.push(textAt(file, names + file.readUInt32LE(entry)).replace(/^_/, ""));
  }
  return exports;
}
