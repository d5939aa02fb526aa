import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Registry } from "prom-client";
import {
  callSoon,
  getGlobalDispatcher,
  newDispatcher,
  newFuture,
  poll,
  setFutureLogging,
  sleepAsync,
  waitFor,
} from "../src/index.ts";
import { registerMetrics } from "../src/prometheus.ts";
import { onEachBackend, thrownBy } from "./backends.ts";

interface Family {
  readonly type: string;
  readonly help: string;
  /** By name and labels, as they stand in the text. */
  readonly samples: Record<string, number>;
}

/** The families of a scrape, by name; what is no line of the text format is an error. */
function parse(text: string): Record<string, Family> {
  const families: Record<string, { type: string; help: string; samples: Record<string, number> }> = {};
  const family = (name: string) => (families[name] ??= { type: "", help: "", samples: {} });
  for (const line of text.split("\n").filter((line) => line !== "")) {
    const comment = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line);
    const sample = /^((\w+)(?:\{(?:\w+="(?:[^"\\]|\\.)*",?)+\})?) (-?[\d.e+]+)$/.exec(line);
    if (comment !== null) {
      const [, kind, name, rest] = comment as unknown as [string, string, string, string];
      family(name)[kind === "HELP" ? "help" : "type"] = rest;
    } else if (sample !== null) {
      const [, key, name, value] = sample as unknown as [string, string, string, string];
      family(name).samples[key] = Number(value);
    } else {
      throw new Error(`no line of the text format: ${line}`);
    }
  }
  return families;
}

/** Scrapes a registry as Prometheus does, over HTTP. */
async function scrape(registry: Registry): Promise<Record<string, Family>> {
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async () => new Response(await registry.metrics(), { headers: { "Content-Type": registry.contentType } }),
  });
  const response = await fetch(server.url);
  expect(response.headers.get("Content-Type")).toStartWith("text/plain; version=0.0.4");
  return parse(await response.text());
}

/** The only sample of a family without labels. */
function sampleOf(families: Record<string, Family>, name: string): number | undefined {
  return families[name]?.samples[name];
}

// On Windows, Bun opens descriptors of its own for its first connection; they are no leak.
await scrape(new Registry());

onEachBackend(() => {
  let registry: Registry;
  beforeEach(() => {
    registry = new Registry();
    setFutureLogging(true);
  });
  afterEach(() => setFutureLogging(false));

  describe("futures in progress", () => {
    test("they are counted by their maker, whatever its name", async () => {
      registerMetrics({ registry });
      for (const maker of ["fetch", "fetch", 'a "quoted" one']) newFuture(maker);
      newFuture("fetch");
      expect((await scrape(registry)).asyncdispatch_futures_in_progress).toEqual({
        type: "gauge",
        help: "Pending futures by the procedure that created them, while future logging is on.",
        samples: {
          'asyncdispatch_futures_in_progress{from_proc="fetch"}': 3,
          'asyncdispatch_futures_in_progress{from_proc="a \\"quoted\\" one"}': 1,
        },
      });
    });

    test("a maker without pending futures is gone from the next scrape", async () => {
      registerMetrics({ registry });
      const future = newFuture("maker");
      await scrape(registry);
      future.complete();
      expect((await scrape(registry)).asyncdispatch_futures_in_progress?.samples).toEqual({});
    });
  });

  describe("statistics", () => {
    test("every one is a metric with a help text, counters with the name of one", async () => {
      registerMetrics({ registry });
      const families = await scrape(registry);
      expect(Object.keys(families)).toHaveLength(Object.keys(getGlobalDispatcher().statistics()).length + 1);
      for (const [name, { type, help }] of Object.entries(families)) {
        expect(help).toEndWith(".");
        expect(name).toMatch(type === "counter" ? /^asyncdispatch_\w+_total$/ : /^asyncdispatch_\w+(?<!_total)$/);
      }
    });

    test("a scrape tells what the dispatcher has done since", async () => {
      registerMetrics({ registry });
      // Bun's loop would poll as well, while a scrape is awaited.
      getGlobalDispatcher().detach();
      const before = await scrape(registry);
      waitFor(sleepAsync(0));
      callSoon(() => {});
      poll();
      const sleeping = sleepAsync(60_000);
      const after = await scrape(registry);
      const growth = (name: string): number =>
        (sampleOf(after, name) ?? Number.NaN) - (sampleOf(before, name) ?? Number.NaN);
      expect({
        polls: growth("asyncdispatch_polls_total"),
        timers: growth("asyncdispatch_timers_fired_total"),
        callbacks: growth("asyncdispatch_callbacks_total"),
        pendingTimers: sampleOf(after, "asyncdispatch_pending_timers"),
      }).toEqual({ polls: 2, timers: 1, callbacks: 1, pendingTimers: 1 });
      sleeping.cancel();
    });

    test("those of another dispatcher can be asked for", async () => {
      using dispatcher = newDispatcher();
      registerMetrics({ registry, dispatcher });
      dispatcher.callSoon(() => {});
      dispatcher.poll();
      expect(sampleOf(await scrape(registry), "asyncdispatch_callbacks_total")).toBe(1);
    });
  });

  test.each([[{}], [null], ["dispatcher"]])(
    "a dispatcher that is none is refused, and nothing registered: %p",
    (none) => {
      expect(() => registerMetrics({ registry, dispatcher: none as never })).toThrow(TypeError);
      expect(registry.getMetricsAsArray()).toEqual([]);
    },
  );

  test("registering twice with one registry is prom-client's error", () => {
    registerMetrics({ registry });
    expect((thrownBy(() => registerMetrics({ registry })) as Error).message).toContain("already been registered");
  });
});
