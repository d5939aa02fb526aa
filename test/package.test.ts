// The package as it is published, without the libraries of other platforms: packed, installed, used.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { prebuiltFiles } from "../scripts/build-all.ts";
import { inspectTarball } from "../scripts/pack.ts";
import { isWindows } from "./descriptors.ts";
import {
  bun,
  compileTypes,
  emptyProject,
  hostLibrary,
  outputOf,
  packHost,
  removeFolders,
  root,
  temporaryFolder,
} from "./package-helper.ts";

const TIMEOUT_MS = 120_000;

let tarball: string;
/** A project that has the package. */
let project: string;

beforeAll(() => {
  if (isWindows) return;
  tarball = packHost();
  project = emptyProject();
  bun(["add", tarball, "--ignore-scripts"], project);
}, TIMEOUT_MS);
afterAll(removeFolders);

test.skipIf(isWindows)(
  "the tarball has all that its package.json and its maps point to, and nothing else (skipped on Windows, whose tools are not this machine's)",
  async () => {
    expect(await inspectTarball(tarball, [hostLibrary])).toMatch(/^\d+ files/);
  },
);

test("the bundler is told of every platform's library", () => {
  const source = readFileSync(join(root, "src/native/location.ts"), "utf8");
  const named = [...source.matchAll(/require\("\.\.\/\.\.\/(.+?)"\)/g)].map(([, path]) => path);
  expect(named.toSorted()).toEqual(prebuiltFiles.toSorted());
});

describe.skipIf(isWindows)("installed (skipped on Windows, whose tools are not this machine's)", () => {
  /** Runs an example from within a project, so that it imports the installed package. */
  function runExample(folder: string): void {
    cpSync(join(root, "examples/echo.ts"), join(folder, "echo.ts"));
    expect(bun(["echo.ts"], folder)).toEndWith("done\n");
  }

  test("by bun add, it runs an example", () => runExample(project));

  test.skipIf(Bun.which("npm") === null)(
    "by npm install, it runs an example (skipped without npm)",
    () => {
      const folder = emptyProject();
      const quiet = ["--offline", "--no-audit", "--no-fund"];
      outputOf(["npm", "install", tarball, "--ignore-scripts", ...quiet], folder);
      runExample(folder);
    },
    TIMEOUT_MS,
  );

  test("Bun finds no script in it to run", () => {
    expect(bun(["pm", "untrusted"], project)).toContain("Found 0 untrusted dependencies with scripts.");
  });

  test.skipIf(Bun.which("npm") === null)(
    "npm runs no script of it, even where it may (skipped without npm)",
    () => {
      const folder = emptyProject();
      writeFileSync(join(folder, "package.json"), JSON.stringify({ allowScripts: { [`file:${tarball}`]: true } }));
      const output = outputOf(["npm", "install", tarball, "--foreground-scripts", "--offline"], folder);
      expect(output).toContain("added 1 package");
      expect(output).not.toContain("> asyncdispatch@");
    },
    TIMEOUT_MS,
  );

  test("every export can be imported", () => {
    linkModules("prom-client");
    const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const names = Object.keys(exports).map((path) => path.replace(/^\./, "asyncdispatch"));
    expect(names.length).toBeGreaterThan(5);
    const script = `for (const name of ${JSON.stringify(names)}) console.log(name, Object.keys(await import(name)).length > 0);`;
    expect(bun(["-e", script], project)).toBe(names.map((name) => `${name} true\n`).join(""));
  });
});

/** Puts modules that the tests have into the project. */
function linkModules(...names: string[]): void {
  for (const name of names) {
    const link = join(project, "node_modules", name);
    rmSync(link, { force: true });
    mkdirSync(join(link, ".."), { recursive: true });
    symlinkSync(join(root, "node_modules", name), link);
  }
}

describe.skipIf(isWindows)("types (skipped on Windows, whose tools are not this machine's)", () => {
  const CONSUMER = `
    import { type AsyncFD, async, newFuture, recv, waitFor } from "asyncdispatch";
    import { AsyncSocket } from "asyncdispatch/asyncnet";
    import { openAsync } from "asyncdispatch/asyncfile";
    import * as futures from "asyncdispatch/asyncfutures";
    import * as macro from "asyncdispatch/asyncmacro";
    import * as streams from "asyncdispatch/asyncstreams";
    import * as backend from "asyncdispatch/backend";
    import * as prometheus from "asyncdispatch/prometheus";
    import * as testing from "asyncdispatch/testing";

    export const length = async(function* (fd: AsyncFD) {
      const data = yield* recv(fd, 100);
      return data.length;
    });
    export const known: number = waitFor(length(0 as AsyncFD));
    // @ts-expect-error: the value of a future has its type
    export const wrong: string = waitFor(newFuture<number>());
    export { AsyncSocket, backend, futures, macro, openAsync, prometheus, streams, testing };
  `;
  const STRICT = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess", "--noUnusedLocals"];

  test.each([
    ["bun-types, resolved as by a bundler", ["bun-types"], ["--module", "preserve"]],
    ["@types/node alone, resolved as by Node", ["@types/node"], ["--module", "nodenext"]],
  ])(
    "a strict consumer passes with %s",
    (_, modules, options) => {
      linkModules("prom-client", "undici-types", "@types/node", ...modules);
      writeFileSync(join(project, "consumer.mts"), CONSUMER);
      const types = modules.map((name) => name.replace(/^@types\//, "")).join();
      const args = [...STRICT, ...options, "--types", types, "--target", "esnext", "--skipLibCheck", "false"];
      const files = compileTypes(["--noEmit", "--listFiles", ...args, "consumer.mts"], project);
      expect(files).toContain("node_modules/asyncdispatch/dist/src/index.d.ts\n");
      expect(files).not.toContain("node_modules/asyncdispatch/src/");
    },
    TIMEOUT_MS,
  );
});

describe.skipIf(isWindows)("bundled (skipped on Windows, whose tools are not this machine's)", () => {
  const PROGRAM = `
    import { sleepAsync, waitFor } from "asyncdispatch";
    waitFor(sleepAsync(1));
    console.log("slept");
  `;

  /** Bundles the program, then runs what came out where there is no package and no source. */
  function runBundle(options: string[], run: (folder: string) => string[]): string {
    writeFileSync(join(project, "program.ts"), PROGRAM);
    const folder = temporaryFolder();
    bun(["build", "program.ts", ...options.map((option) => option.replace("$out", folder))], project);
    const modules = join(project, "node_modules");
    renameSync(modules, `${modules}-away`);
    try {
      return outputOf(run(folder), temporaryFolder());
    } finally {
      renameSync(`${modules}-away`, modules);
    }
  }

  const runScript = (folder: string): string[] => [process.execPath, join(folder, "program.js")];

  test.each([[["--compile"]], [["--compile", "--bytecode"]], [["--compile", "--minify"]]])(
    "by bun build %p, the program carries the library",
    (options) => {
      const output = runBundle([...options, "--outfile", "$out/program"], (folder) => [join(folder, "program")]);
      expect(output).toBe("slept\n");
    },
    TIMEOUT_MS,
  );

  test("a bundle made without a library says so when it runs", () => {
    const prebuilt = join(project, "node_modules/asyncdispatch/prebuilt");
    renameSync(prebuilt, `${prebuilt}-away`);
    try {
      const build = (): string => runBundle(["--target", "bun", "--outfile", "$out/program.js"], runScript);
      expect(build).toThrow("NativeLibraryError: There is no native library for");
    } finally {
      renameSync(`${prebuilt}-away`, prebuilt);
    }
  });

  test("by bun build, the library lies next to the script", () => {
    expect(runBundle(["--target", "bun", "--outdir", "$out"], runScript)).toBe("slept\n");
  });
});
