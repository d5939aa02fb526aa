// What the Workers of events.test.ts and processes.test.ts do. It works without Bun's loop, so that a blocked thread
// can use it; its state is in shared memory.
import { workerData } from "node:worker_threads";
import {
  AsyncEvent,
  type AsyncEventToken,
  addEvent,
  addProcess,
  addSignal,
  getGlobalDispatcher,
  newAsyncEvent,
  newDispatcher,
  poll,
  type SelectorKind,
  setGlobalDispatcher,
} from "../src/index.ts";

export interface EventTask {
  readonly task: "trigger" | "take" | "hold";
  readonly selector: SelectorKind;
  readonly token: AsyncEventToken;
  /** Numbers that all threads see, at the places of {@link SharedPlace}. */
  readonly shared: SharedArrayBuffer;
  /** How often to trigger. */
  readonly times: number;
}

export const SharedPlace = { ready: 0, triggered: 1, taken: 2, stop: 3, length: 4 } as const;

function add(numbers: Int32Array, place: number): void {
  Atomics.add(numbers, place, 1);
  Atomics.notify(numbers, place);
}

function run({ task, selector, token, shared, times }: EventTask): void {
  const numbers = new Int32Array(shared);
  const event = AsyncEvent.from(token);
  setGlobalDispatcher(newDispatcher({ selector }));
  if (task === "trigger") {
    for (let i = 0; i < times; i++) {
      add(numbers, SharedPlace.triggered);
      event.trigger();
    }
  } else if (task === "take") {
    addEvent(event, () => {
      add(numbers, SharedPlace.taken);
      return false;
    });
  } else {
    // Everything that has a native record, and none of it is ever closed.
    addEvent(event, () => false);
    addEvent(newAsyncEvent(), () => false);
    for (let i = 0; i < 10; i++) AsyncEvent.from(token);
    addProcess(process.pid, () => false);
    if (process.platform !== "win32") addSignal("SIGUSR2", () => false);
  }
  add(numbers, SharedPlace.ready);
  if (task === "trigger") return;
  while (Atomics.load(numbers, SharedPlace.stop) === 0) poll(10);
  getGlobalDispatcher().unref();
  // What ends here by itself must leave nothing behind either.
}

if (workerData !== null && typeof workerData === "object" && "task" in workerData) run(workerData as EventTask);
