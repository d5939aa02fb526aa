import { cpSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { builtLibrary } from "../scripts/build-native.ts";
import { removeFolder } from "./folders.ts";

export const root = join(import.meta.dir, "..");
const library = process.env.ASYNCDISPATCH_LIBRARY || builtLibrary;

/** The one library in the tests' package: this platform's. `bun run pack` builds and checks all of them. */
export const hostLibrary = `prebuilt/${process.platform}-${process.arch}/${basename(builtLibrary)}`;

/** A new folder, removed by {@link removeFolders}. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
  folders.push(folder);
  return folder;
}

const folders: string[] = [];

export function removeFolders(): void {
  for (const folder of folders.splice(0)) removeFolder(folder);
}

/** What a command prints on both streams. The library that the tests themselves use is hidden from it. */
export function outputOf(command: string[], cwd: string, env: Record<string, string> = {}): string {
  const { ASYNCDISPATCH_LIBRARY: _, ...inherited } = process.env;
  const { stdout, stderr, exitCode, signalCode } = Bun.spawnSync(command, {
    cwd,
    env: { ...inherited, ...env },
    timeout: 60_000,
  });
  const output = `${stdout}${stderr}`;
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode ?? signalCode}:\n${output}`);
  return output;
}

export function bun(args: string[], cwd: string): string {
  return outputOf([process.execPath, ...args], cwd);
}

/** Packs what `bun pm pack` would, but with the library of this platform alone, and gives the tarball's path. */
export function packHost(): string {
  const folder = temporaryFolder();
  for (const name of ["package.json", "tsconfig.json", "tsconfig.build.json", "README.md", "LICENSE", "CHANGELOG.md"]) {
    cpSync(join(root, name), join(folder, name));
  }
  for (const name of ["src", "docs"]) cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  compileTypes(["-p", "tsconfig.build.json"], folder);
  mkdirSync(dirname(join(folder, hostLibrary)), { recursive: true });
  cpSync(library, join(folder, hostLibrary));
  const tarball = join(folder, "package.tgz");
  bun(["pm", "pack", "--ignore-scripts", "--filename", tarball], folder);
  return tarball;
}

export function compileTypes(args: string[], cwd: string): string {
  // Node where there is one: the compiler is a program of its own, and there is none for the Bun of another CPU.
  const node = Bun.which("node") ?? process.execPath;
  return outputOf([node, join(root, "node_modules/typescript/bin/tsc"), ...args], cwd);
}

/** A folder with nothing but an empty package.json. */
export function emptyProject(): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "package.json"), "{}");
  return folder;
}
