import { Counter, Gauge, type Registry, register as standardRegistry } from "prom-client";
import { Dispatcher, type DispatcherStatistics, getGlobalDispatcher } from "./dispatcher.ts";
import { requireOptions, typeName } from "./errors.ts";
import { getFuturesInProgress } from "./futurelogging.ts";

interface Metric {
  /** A counter only grows, until the process ends or another dispatcher takes the place of this one. */
  readonly kind: "counter" | "gauge";
  readonly name: string;
  readonly help: string;
}

const counter = (name: string, help: string): Metric => ({
  kind: "counter",
  name: `asyncdispatch_${name}_total`,
  help,
});
const gauge = (name: string, help: string): Metric => ({ kind: "gauge", name: `asyncdispatch_${name}`, help });

const METRICS: Record<keyof DispatcherStatistics, Metric> = {
  polls: counter("polls", "Rounds of the event loop."),
  wakeups: counter("wakeups", "Waits of the selector, each one system call."),
  events: counter("events", "Events that the selector reported."),
  timers: counter("timers_fired", "Timers that fired."),
  callbacks: counter("callbacks", "Callbacks that ran in callback phases."),
  interestChanges: counter("interest_changes", "Changes of interest that the selector was told."),
  waiters: gauge("waiters", "Operations and callbacks that wait for a descriptor."),
  pendingTimers: gauge("pending_timers", "Timers that have not fired yet."),
  descriptors: gauge("descriptors", "Registered descriptors."),
};

export interface MetricsOptions {
  /** Where the metrics go; the default is prom-client's own registry. */
  readonly registry?: Registry;
  /** Whose statistics they are; the default is the dispatcher that is the global one at the time of the scrape. */
  readonly dispatcher?: Dispatcher;
}

/**
 * Adds to a registry of prom-client what is known of this thread's futures and of a dispatcher; it is read anew at
 * every scrape. `asyncdispatch_futures_in_progress{from_proc="…"}` counts the pending futures that were created while
 * future logging was on: see `setFutureLogging`.
 *
 * @throws Error of prom-client when the registry has these metrics already
 * @throws TypeError when the options or the dispatcher are none
 * @example
 * setFutureLogging(true);
 * registerMetrics();
 * const text = await register.metrics();
 */
export function registerMetrics(options: MetricsOptions = {}): void {
  requireOptions(options);
  const { dispatcher } = options;
  if (dispatcher !== undefined && !(dispatcher instanceof Dispatcher)) {
    throw new TypeError(`Expected a Dispatcher, got ${typeName(dispatcher)}`);
  }
  const registers = [options.registry ?? standardRegistry];
  new Gauge({
    name: "asyncdispatch_futures_in_progress",
    help: "Pending futures by the procedure that created them, while future logging is on.",
    labelNames: ["from_proc"],
    registers,
    collect() {
      this.reset();
      for (const [{ fromProc }, pending] of getFuturesInProgress()) this.inc({ from_proc: fromProc }, pending);
    },
  });
  for (const [key, { kind, name, help }] of Object.entries(METRICS)) {
    const current = (): number => (dispatcher ?? getGlobalDispatcher()).statistics()[key as keyof DispatcherStatistics];
    if (kind === "gauge") new Gauge({ name, help, registers, collect: collectGauge });
    else new Counter({ name, help, registers, collect: collectCounter });

    function collectGauge(this: Gauge): void {
      this.set(current());
    }

    // prom-client cannot set a counter.
    function collectCounter(this: Counter): void {
      this.reset();
      this.inc(current());
    }
  }
}
