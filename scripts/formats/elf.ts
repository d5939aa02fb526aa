// Reads a shared library of Linux or FreeBSD: 64-bit ELF, little-endian.
import { type Library, offsetAt, textAt } from "./library.ts";

const CPUS: Record<number, Library["cpu"]> = { 62: "x64", 183: "arm64" };
const SectionType = { dynamic: 6, dynamicSymbols: 11 };
const DynamicTag = { end: 0, needed: 1 };
const SYMBOL_SIZE = 24;

export interface Elf extends Library {
  /** The symbols that it takes from the libraries it needs, or from whoever loads it. */
  readonly imports: readonly string[];
}

interface Section {
  readonly type: number;
  readonly at: number;
  readonly end: number;
  /** The number of the section with its names. */
  readonly link: number;
}

export function readElf(file: Buffer): Elf {
  if (file.toString("latin1", 0, 6) !== "\x7fELF\x02\x01") throw new Error("not a 64-bit little-endian ELF file");
  const sections = readSections(file);
  const symbols = readSymbols(file, sections);
  return {
    cpu: CPUS[file.readUInt16LE(18)] ?? "unknown",
    exports: symbols.filter(({ isDefined }) => isDefined).map(({ name }) => name),
    imports: symbols.filter(({ isDefined }) => !isDefined).map(({ name }) => name),
    needed: readNeeded(file, sections),
  };
}

function readSections(file: Buffer): Section[] {
  const table = offsetAt(file, 40);
  const entrySize = file.readUInt16LE(58);
  return Array.from({ length: file.readUInt16LE(60) }, (_, index) => {
    const entry = table + index * entrySize;
    const at = offsetAt(file, entry + 24);
    const end = at + offsetAt(file, entry + 32);
    return { type: file.readUInt32LE(entry + 4), at, end, link: file.readUInt32LE(entry + 40) };
  });
}

/** The first section of a type, and where the names begin that its entries point to. */
function findSection(sections: Section[], type: number): { at: number; end: number; names: number } {
  const section = sections.find((each) => each.type === type);
  if (section === undefined) throw new Error(`no section of type ${type}`);
  return { ...section, names: (sections[section.link] as Section).at };
}

function readSymbols(file: Buffer, sections: Section[]): { name: string; isDefined: boolean }[] {
  const { at, end, names } = findSection(sections, SectionType.dynamicSymbols);
  const symbols = [];
  // The first symbol stands for none.
  for (let entry = at + SYMBOL_SIZE; entry < end; entry += SYMBOL_SIZE) {
    const name = textAt(file, names + file.readUInt32LE(entry));
    symbols.push({ name, isDefined: file.readUInt16LE(entry + 6) !== 0 });
  }
  return symbols;
}

function readNeeded(file: Buffer, sections: Section[]): string[] {
  const { at, end, names } = findSection(sections, SectionType.dynamic);
  const needed = [];
  for (let entry = at; entry < end; entry += 16) {
    const tag = offsetAt(file, entry);
    if (tag === DynamicTag.end) break;
    if (tag === DynamicTag.needed) needed.push(textAt(file, names + offsetAt(file, entry + 8)));
  }
  return needed;
}
