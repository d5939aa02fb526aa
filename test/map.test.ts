// The map of the sources in CONTRIBUTING.md: it has every file, and imports point down in it.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

const root = join(import.meta.dir, "..");

/** The files that the map names in a folder, in its order. */
function mapOf(folder: string): string[] {
  const [, table = ""] = readFileSync(join(root, "CONTRIBUTING.md"), "utf8").split(`| \`${folder}/\``);
  const [rows = ""] = table.split("\n\n");
  const cells = [...rows.matchAll(/^\| (.+?) \|/gm)].map(([, cell]) => cell as string);
  return cells.flatMap((cell) => [...cell.matchAll(/`(.+?)`/g)].flatMap(([, name]) => expand(name as string)));
}

/** `a/{b,c}.ts` as `a/b.ts` and `a/c.ts`. */
function expand(name: string): string[] {
  const [, before, choices, behind] = name.match(/^(.*)\{(.*)\}(.*)$/) ?? [];
  return choices === undefined ? [name] : choices.split(",").map((choice) => `${before}${choice}${behind}`);
}

function filesIn(folder: string): string[] {
  const files = readdirSync(join(root, folder), { recursive: true }) as string[];
  return files.filter((file) => /\.(ts|zig)$/.test(file)).map((file) => file.replaceAll("\\", "/"));
}

test.each(["src", "zig-src"])("every file of %s/ is on the map", (folder) => {
  const map = mapOf(folder);
  const isMapped = (file: string) => map.includes(file) || map.includes(`${posix.dirname(file)}/`);
  expect(filesIn(folder).filter((file) => !isMapped(file))).toEqual([]);
});

test("imports of src/ point down on the map", () => {
  const map = mapOf("src");
  const upwards = map.flatMap((file, place) => {
    if (!file.endsWith(".ts")) return [];
    const imports = readFileSync(join(root, "src", file), "utf8").matchAll(/ from "(\..+?)";$/gm);
    const targets = [...imports].map(([, path]) => posix.join(posix.dirname(file), path as string));
    return targets.filter((target) => map.indexOf(target) <= place).map((target) => `${file} imports ${target}`);
  });
  expect(upwards).toEqual([]);
});
