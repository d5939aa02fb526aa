import { dlopen } from "bun:ffi";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transcriptOf } from "./example-process.ts";

const installed = "/usr/lib/postgresql";

/** The newest server that Debian's packages have installed. */
const programs = !existsSync(installed)
  ? undefined
  : readdirSync(installed)
      .sort((a, b) => Number(b) - Number(a))
      .map((version) => join(installed, version, "bin"))
      .find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "psql")));

/** Why there is no PostgreSQL to be tested with; undefined when there is. */
export const missing = whatIsMissing();

function whatIsMissing(): string | undefined {
  if (programs === undefined) return "without apt-get install postgresql libpq5";
  try {
    dlopen("libpq.so.5", { PQlibVersion: { args: [], returns: "i32" } }).close();
    return undefined;
  } catch {
    return "as this Bun can load no libpq here: another one than the system's, or without apt-get install libpq5";
  }
}

/** A server of its own, in a temporary folder and on a UNIX socket there. */
export interface Postgres {
  /** How libpq connects to it. */
  readonly info: string;
  /** What psql prints: a line for each row, the columns separated by `|`. */
  psql(sql: string): string;
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<Postgres> {
  const folder = mkdtempSync(join(tmpdir(), "asyncdispatch-"));
  const asServer = (program: string, ...args: string[]) => [
    // The server refuses to be root's, and ends with these tests however they end.
    ...["setpriv", "--pdeathsig=QUIT"],
    ...(process.getuid?.() === 0 ? ["--reuid=postgres", "--regid=postgres", "--clear-groups"] : []),
    ...[join(programs as string, program), "-D", join(folder, "data"), ...args],
  ];
  if (process.getuid?.() === 0) chownSync(folder, idOf("-u"), idOf("-g"));
  run(asServer("initdb", "--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"));
  const options = ["-h", "", "-k", folder, "-p", "5432", "-F"]; // no TCP; the socket's folder; no waiting for the disk
  const server = Bun.spawn(asServer("postgres", ...options), { stdio: ["ignore", "ignore", "pipe"] });
  await transcriptOf(server.stderr).until(/ready to accept connections/);

  const info = `host=${folder} port=5432 user=postgres dbname=postgres`;
  return {
    info,
    psql: (sql) => run([join(programs as string, "psql"), "-qAtX", "-d", info, "-c", sql]),
    async stop() {
      server.kill("SIGQUIT"); // at once
      await server.exited;
      rmSync(folder, { recursive: true });
    },
  };
}

function idOf(which: "-u" | "-g"): number {
  return Number(run(["id", which, "postgres"]));
}

function run(command: string[]): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, { timeout: 60_000 });
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode}:\n${stderr}`);
  return stdout.toString().trim();
}
