// The generator form, driven by Bun's loop.
import "./generator-server.ts";
