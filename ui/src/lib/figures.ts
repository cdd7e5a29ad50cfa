// Numbers and times as people read them.

/** Microseconds: `85 µs`, `1.2 ms`, `3.4 s`. */
export function duration(us: number | null | undefined): string {
  if (us === null || us === undefined) return '–';
  if (us < 1_000) return `${Math.round(us)} µs`;
  if (us < 100_000) return `${(us / 1_000).toFixed(1)} ms`;
  if (us < 1_000_000) return `${Math.round(us / 1_000)} ms`;
  return `${(us / 1_000_000).toFixed(us < 10_000_000 ? 2 : 1)} s`;
}

const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });

/** `12,345`. */
export const count = (n: number): string => whole.format(n);

/** A rate: `0.4`, `12`, `1,234`. */
export const rate = (n: number): string => (n > 0 && n < 9.95 ? n.toFixed(1) : whole.format(n));

/** A share in percent. All and nothing are said only of all and nothing. */
export function share(part: number, of: number): string {
  if (of === 0) return '–';
  const percent = (part / of) * 100;
  if (part < of && percent > 99.9) return '99.9 %';
  if (part > 0 && percent < 0.1) return '0.1 %';
  return Number.isInteger(percent) ? `${percent} %` : `${percent.toFixed(1)} %`;
}

const two = (n: number): string => String(n).padStart(2, '0');

/** The time of day, of this machine's zone: `14:03:59.123`. */
export function clock(ms: number): string {
  const at = new Date(ms);
  const milliseconds = String(at.getMilliseconds()).padStart(3, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${milliseconds}`;
}

/** Day and time of day: `2026-11-22 14:03`. */
export function moment(ms: number): string {
  const at = new Date(ms);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** How long something is, in its two largest units: `2 d 3 h`, `14 min`, `8 s`. */
export function span(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const [d, h, min] = [Math.floor(s / 86_400), Math.floor(s / 3_600) % 24, Math.floor(s / 60) % 60];
  if (d >= 10) return `${count(d)} d`;
  if (d > 0) return h > 0 ? `${d} d ${h} h` : `${d} d`;
  if (h > 0) return min > 0 ? `${h} h ${min} min` : `${h} h`;
  return min > 0 ? `${min} min` : `${s} s`;
}

/** When something was or will be, from now: `3 min ago`, `in 2 d`. */
export function ago(ms: number, now: number): string {
  return ms <= now ? `${span(now - ms)} ago` : `in ${span(ms - now)}`;
}

/** Bytes: `812 B`, `9.4 KiB`. */
export function bytes(n: number | undefined): string {
  if (n === undefined) return '–';
  if (n < 1_024) return `${n} B`;
  return n < 1_048_576 ? `${(n / 1_024).toFixed(1)} KiB` : `${(n / 1_048_576).toFixed(1)} MiB`;
}
