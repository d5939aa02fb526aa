// A program that ends by process.exit(7) with everything in flight, in the main thread and in four Workers. Its
// argument says when: `loading`: the Workers have just been made; `working`: they are at work; `called`: the same, and
// in a callback of the dispatcher.
import { once } from "node:events";
import { callSoon } from "../src/index.ts";
import { type Ending, EXIT_CODE, startEverything } from "./bunloop-worker.ts";
import { Surroundings } from "./bunloop-worker-driver.ts";
import { openFifo } from "./descriptors.ts";

const [moment] = process.argv.slice(2);
const surroundings = new Surroundings();
process.on("exit", () => surroundings[Symbol.dispose]());
startEverything({ ...surroundings.task, fd: openFifo() });
const endings: Ending[] = ["spins", "idles", "echoes", "looksUp"];
const workers = endings.map((ending) => surroundings.start(ending));
if (moment !== "loading") await Promise.all(workers.map((worker) => once(worker, "message")));
if (moment !== "called") process.exit(EXIT_CODE);
callSoon(() => process.exit(EXIT_CODE));
