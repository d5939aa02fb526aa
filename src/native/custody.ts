import { NativeRecord } from "./memory.ts";
import { socket } from "./socket.ts";

/**
 * Holds this thread's descriptors that belong to nobody for a moment: opened and not registered yet, or unregistered
 * and not closed yet. A Worker that is terminated just then closes them.
 */
export const custody = new NativeRecord(socket.custody_create(), socket.custody_free_address());
