// Packs the package as it is published, and checks what is in it.
import { join, posix } from "node:path";
import { prebuiltFiles } from "./build-all.ts";

const root = join(import.meta.dir, "..");
const MAX_PACKED_BYTES = 1_500_000;
const BELONGING = [
  /^(src|examples)\/.+\.ts$/,
  /^dist\/src\/.+\.d\.ts(\.map)?$/,
  /^docs\/.+\.(md|svg)$/,
  /^[A-Z]+(\.md)?$/,
];

/** What {@link inspectTarball} looks at in the package.json of a package. */
interface Manifest {
  readonly exports: Record<string, string | Record<string, string>>;
  readonly dependencies?: unknown;
  readonly scripts: Record<string, string>;
}

/**
 * Says how large a tarball of the package is.
 *
 * @param libraries the files that it must have for its platforms, and no others
 * @throws with everything that is missing in it or does not belong there
 */
export async function inspectTarball(path: string, libraries: readonly string[]): Promise<string> {
  const tarball = await Bun.file(path).bytes();
  const entries = await new Bun.Archive(tarball).files();
  const files = new Map([...entries].map(([name, file]) => [name.replace(/^package\//, ""), file]));
  const manifest: Manifest = await (files.get("package.json") as File).json();
  const required = [...libraries, ...exportedFiles(manifest), ...(await mappedSources(files))];
  const problems = [
    ...required.filter((name) => !files.has(name)).map((name) => `${name} is missing`),
    ...[...files.keys()].filter((name) => !belongs(name, libraries)).map((name) => `${name} does not belong in it`),
    ...["preinstall", "install", "postinstall"]
      .filter((script) => script in manifest.scripts)
      .map((script) => `the script ${script} would run where it is installed`),
  ];
  if (manifest.dependencies !== undefined) problems.push("it depends on other packages");
  if (tarball.length > MAX_PACKED_BYTES) problems.push(`${tarball.length} bytes are more than ${MAX_PACKED_BYTES}`);
  if (problems.length > 0) throw new Error(`${path}:\n  ${problems.join("\n  ")}`);
  const unpacked = [...files.values()].reduce((sum, { size }) => sum + size, 0);
  return `${files.size} files, ${kilobytes(tarball.length)} packed, ${kilobytes(unpacked)} unpacked`;
}

function exportedFiles({ exports }: Manifest): string[] {
  return Object.values(exports)
    .flatMap((target) =>
      typeof target === "string" ? [target] : [target.types ?? "types", target.default ?? "default"],
    )
    .map((target) => posix.normalize(target));
}

/** The sources that the declaration maps point to; one of a source that is gone means a stale declaration. */
async function mappedSources(files: ReadonlyMap<string, File>): Promise<string[]> {
  const maps = [...files].filter(([name]) => name.endsWith(".map"));
  const sources = await Promise.all(
    maps.map(async ([name, file]) => {
      const map: { sources: string[] } = await file.json();
      return map.sources.map((source) => posix.join(posix.dirname(name), source));
    }),
  );
  return sources.flat();
}

function belongs(name: string, libraries: readonly string[]): boolean {
  return name === "package.json" || libraries.includes(name) || BELONGING.some((pattern) => pattern.test(name));
}

function kilobytes(bytes: number): string {
  return `${Math.ceil(bytes / 1000)} kB`;
}

/** Lets `bun pm pack` build everything (the script `prepack`) and pack it. */
async function packAndInspect(): Promise<void> {
  const { name, version } = await Bun.file(join(root, "package.json")).json();
  const tarball = `${name}-${version}.tgz`;
  const command = [process.execPath, "pm", "pack", "--filename", tarball];
  const { exitCode } = Bun.spawnSync(command, { cwd: root, stdout: "inherit", stderr: "inherit" });
  if (exitCode !== 0) throw new Error(`bun pm pack failed with exit code ${exitCode}`);
  console.log(`${tarball}: ${await inspectTarball(join(root, tarball), prebuiltFiles)}`);
}

if (import.meta.main) {
  try {
    await packAndInspect();
  } catch (error) {
    console.error(`asyncdispatch: ${(error as Error).message}`);
    process.exit(1);
  }
}
