// An echo server of this library, driven by Bun's loop, beside Bun.serve in the same thread.
import "./generator-server.ts";

const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("hello") });
console.log(`http port ${server.port}`);
