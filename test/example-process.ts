import { onTestFinished } from "bun:test";
import { join } from "node:path";
import { withoutWine } from "./children.ts";

const root = join(import.meta.dir, "..");

/** Text that arrives bit by bit, and those who wait for something in it. */
export class Transcript {
  text = "";
  private linesEnd = 0;
  private ended = false;
  private wake = Promise.withResolvers<void>();

  add(text: string): void {
    this.text += text;
    this.wake.resolve();
  }

  end(): void {
    this.ended = true;
    this.wake.resolve();
  }

  async until(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const match = this.text.match(pattern);
      if (match !== null) return match;
      if (this.ended) throw new Error(`ended without ${pattern}:\n${this.text}`);
      await this.change();
    }
  }

  /** The line after the one that was given last; undefined at the end. */
  async nextLine(): Promise<string | undefined> {
    for (;;) {
      const end = this.text.indexOf("\n", this.linesEnd);
      if (end >= 0) {
        const line = this.text.slice(this.linesEnd, end);
        this.linesEnd = end + 1;
        if (withoutWine(`${line}\n`) !== "") return line;
        continue;
      }
      if (this.ended) return undefined;
      await this.change();
    }
  }

  async all(): Promise<string> {
    while (!this.ended) await this.change();
    return withoutWine(this.text);
  }

  private change(): Promise<void> {
    this.wake = Promise.withResolvers();
    return this.wake.promise;
  }
}

/** What a process prints on all of these streams, as it comes. */
export function transcriptOf(...streams: ReadableStream<Uint8Array>[]): Transcript {
  const transcript = new Transcript();
  const follow = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const part of stream) transcript.add(decoder.decode(part, { stream: true }));
  };
  Promise.all(streams.map(follow)).then(() => transcript.end());
  return transcript;
}

interface StartOptions {
  readonly stdin?: "pipe" | "ignore" | Bun.BunFile;
  readonly env?: Record<string, string>;
}

/** Starts a command, which ends with the test at the latest. */
export function start(command: string[], { stdin = "ignore", env = {} }: StartOptions = {}) {
  const child = Bun.spawn(command, { cwd: root, env: { ...process.env, ...env }, stdio: [stdin, "pipe", "pipe"] });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  return { child, output: transcriptOf(child.stdout, child.stderr) };
}

export function exampleCommand(name: string, ...args: string[]): string[] {
  return [process.execPath, "run", `examples/${name}`, ...args];
}

/** As {@link start}, of an example. */
export function startExample(name: string, args: string[] = [], env: Record<string, string> = {}) {
  return start(exampleCommand(name, ...args), { env });
}

/** All that an example prints, and its exit code. */
export async function runExample(name: string, args: string[] = [], env: Record<string, string> = {}) {
  const { child, output } = startExample(name, args, env);
  return { text: await output.all(), exitCode: await child.exited };
}
