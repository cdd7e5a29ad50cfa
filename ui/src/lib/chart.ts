// How all charts look: thin lines, few ticks, tabular numerals, colours of the style sheet.

import type uPlot from 'uplot';

import { duration } from './figures.ts';
import { colour } from './theme.svelte.ts';

const font = '11px system-ui, sans-serif';

export const axes = (values: (n: number) => string, size = 52): uPlot.Axis[] => {
  const shared = { stroke: colour('muted'), font, grid: { stroke: colour('line'), width: 1 }, ticks: { show: false } };
  const time = (at: number): string => {
    const date = new Date(at * 1000);
    return `${String(date.getHours()).padStart(2, '0')}:${String(date.getMinutes()).padStart(2, '0')}`;
  };
  return [
    {
      ...shared, grid: { show: false }, space: 90, size: 22, gap: 4,
      incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200, 86_400],
      values: (_, at) => at.map((s, n) => (at.length > 1 && (at[1] ?? 0) - (at[0] ?? 0) < 60 ? `${time(s)}:${String(new Date(s * 1000).getSeconds()).padStart(2, '0')}` : n >= 0 ? time(s) : '')),
    },
    { ...shared, size, space: 30, gap: 6, values: (_, at) => at.map((n) => (n === null ? '' : values(n))) },
  ];
};

export const line = (name: string, stroke: string, more: Partial<uPlot.Series> = {}): uPlot.Series => ({
  label: name, stroke: colour(stroke), width: 1.25, points: { show: false }, ...more,
});

export const cursor: uPlot.Cursor = { y: false, points: { size: 5 }, drag: { x: false, y: false } };

/** A logarithmic scale of durations, from a hundredth of a millisecond on. */
export const logarithmic: uPlot.Scale = { distr: 3, log: 10, range: (_, min, max) => [Math.max(10, (min || 100) / 2), Math.max(1_000, (max || 1_000) * 2)] };

export const micros = (us: number): string => duration(us).replace('.0 ', ' ').replace('.00 ', ' ');

/** Axes of a chart of durations: one line for each power of ten. */
export const durations = (): uPlot.Axis[] => {
  const [x, y] = axes(micros);
  const splits = (_: uPlot, __: number, min: number, max: number): number[] => {
    const powers = [];
    for (let power = 1; power <= 8; power += 1) if (10 ** power >= min && 10 ** power <= max) powers.push(10 ** power);
    return powers;
  };
  return [x!, { ...y!, splits }];
};
