// Reads a DLL of Windows: 64-bit PE.
import { type Library, textAt } from "./library.ts";

const CPUS: Record<number, Library["cpu"]> = { 34404: "x64", 43620: "arm64" };
const OPTIONAL_HEADER = 24;
const Directory = { exports: OPTIONAL_HEADER + 112, imports: OPTIONAL_HEADER + 120 };

interface Section {
  /** Where it lies when it is loaded, from the library's start. */
  readonly address: number;
  readonly size: number;
  readonly at: number;
}

export function readPe(file: Buffer): Library {
  const header = file.readUInt32LE(0x3c);
  if (file.toString("latin1", header, header + 4) !== "PE\0\0") throw new Error("not a PE file");
  const sections = readSections(file, header);
  /** The place in the file that the address at a place in the file means. */
  const follow = (at: number): number => offsetOf(sections, file.readUInt32LE(at));
  return {
    cpu: CPUS[file.readUInt16LE(header + 4)] ?? "unknown",
    exports: readExports(file, follow(header + Directory.exports), follow),
    needed: readNeeded(file, follow(header + Directory.imports), follow),
  };
}

function readSections(file: Buffer, header: number): Section[] {
  const table = header + OPTIONAL_HEADER + file.readUInt16LE(header + 20);
  return Array.from({ length: file.readUInt16LE(header + 6) }, (_, index) => {
    const [size, address, , at] = [8, 12, 16, 20].map((field) => file.readUInt32LE(table + index * 40 + field));
    return { size, address, at } as Section;
  });
}

function offsetOf(sections: Section[], address: number): number {
  const section = sections.find((each) => address >= each.address && address < each.address + each.size);
  if (section === undefined) throw new Error(`no section holds the address ${address}`);
  return address - section.address + section.at;
}

function readExports(file: Buffer, directory: number, follow: (at: number) => number): string[] {
  const names = follow(directory + 32);
  return Array.from({ length: file.readUInt32LE(directory + 24) }, (_, index) =>
    textAt(file, follow(names + index * 4)),
  );
}

function readNeeded(file: Buffer, directory: number, follow: (at: number) => number): string[] {
  const needed = [];
  for (let entry = directory; file.readUInt32LE(entry + 12) !== 0; entry += 20) {
    needed.push(textAt(file, follow(entry + 12)));
  }
  return needed;
}
