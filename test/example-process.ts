import { onTestFinished } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

/** What a process prints on both of its streams, as it comes, and those who wait for something in it. */
export class Transcript {
  text = "";
  private ended = false;
  private wake = Promise.withResolvers<void>();

  constructor(streams: ReadableStream<Uint8Array>[]) {
    Promise.all(streams.map((stream) => this.follow(stream))).then(() => {
      this.ended = true;
      this.wake.resolve();
    });
  }

  private async follow(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const part of stream) {
      this.text += decoder.decode(part, { stream: true });
      this.wake.resolve();
    }
  }

  async until(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const match = this.text.match(pattern);
      if (match !== null) return match;
      if (this.ended) throw new Error(`ended without ${pattern}:\n${this.text}`);
      this.wake = Promise.withResolvers();
      await this.wake.promise;
    }
  }

  async all(): Promise<string> {
    while (!this.ended) {
      this.wake = Promise.withResolvers();
      await this.wake.promise;
    }
    return this.text;
  }
}

/** Starts an example, which ends with the test at the latest. */
export function startExample(name: string, args: string[] = [], env: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, "run", `examples/${name}`, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  return { child, output: new Transcript([child.stdout, child.stderr]) };
}

/** All that an example prints, and its exit code. */
export async function runExample(name: string, args: string[] = [], env: Record<string, string> = {}) {
  const { child, output } = startExample(name, args, env);
  return { text: await output.all(), exitCode: await child.exited };
}
