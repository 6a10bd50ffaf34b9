/** Creates metrics in one registry, with the prefix of this program. */
import { type Aggregator, Counter, Gauge, Histogram, type Registry } from "prom-client";

export const PREFIX = "glance_size_proxy_";

export class MetricMakers {
  readonly #registers: Registry[];

  constructor(readonly registry: Registry) {
    this.#registers = [registry];
  }

  counter<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ): Counter<Label> {
    return new Counter({ name: PREFIX + name, help, labelNames, registers: this.#registers });
  }

  /** A counter that starts at 0 for each value of the label: Prometheus sees no increase if the first sample is 1. */
  counterBy<Label extends string>(
    name: string,
    help: string,
    label: Label,
    values: readonly string[],
  ): Counter<Label> {
    const made = this.counter(name, help, [label]);
    for (const value of values) made.inc({ [label]: value } as Record<Label, string>, 0);
    return made;
  }

  /** A counter whose values are kept elsewhere. @param read called at each scrape to set the values, with the counter at 0. */
  countedElsewhere<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    read: (counter: Counter<Label>) => void,
  ): void {
    new Counter<Label>({
      name: PREFIX + name,
      help,
      labelNames,
      registers: this.#registers,
      collect() {
        this.reset();
        read(this);
      },
    });
  }

  /** @param aggregator combines the values of several processes. */
  gauge(name: string, help: string, aggregator: Aggregator, read: () => number | Promise<number>): void {
    this.gaugeBy(name, help, [], aggregator, async (gauge) => gauge.set(await read()));
  }

  /** @param read called at each scrape to set the gauge. Absent if the caller sets the gauge itself. */
  gaugeBy<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    aggregator: Aggregator,
    read?: (gauge: Gauge<Label>) => void | Promise<void>,
  ): Gauge<Label> {
    return new Gauge<Label>({
      name: PREFIX + name,
      help,
      labelNames,
      aggregator,
      registers: this.#registers,
      ...(read && {
        async collect() {
          await read(this);
        },
      }),
    });
  }

  histogram<Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    buckets: number[],
  ): Histogram<Label> {
    return new Histogram({ name: PREFIX + name, help, labelNames, buckets, registers: this.#registers });
  }
}
