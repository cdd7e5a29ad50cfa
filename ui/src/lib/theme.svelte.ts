// Light, dark, or as the desktop has it. Charts are drawn on canvases, which must be told of it.

export type Theme = 'auto' | 'light' | 'dark';
const KEPT = 'lockgate.theme';

class Themes {
  chosen = $state<Theme>('auto');
  /** Rises with each change, for those who draw. */
  version = $state(0);
  private readonly dark = matchMedia('(prefers-color-scheme: dark)');

  constructor() {
    const kept = localStorage.getItem(KEPT);
    if (kept === 'light' || kept === 'dark') this.chosen = kept;
    this.apply();
    this.dark.addEventListener('change', () => this.apply());
  }

  next(): void {
    this.chosen = this.chosen === 'auto' ? (this.dark.matches ? 'light' : 'dark') : this.chosen === 'light' ? 'dark' : 'light';
    localStorage.setItem(KEPT, this.chosen);
    this.apply();
  }

  private apply(): void {
    const dark = this.chosen === 'dark' || (this.chosen === 'auto' && this.dark.matches);
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
    this.version += 1;
  }
}

export const theme = new Themes();

/** A colour of the style sheet, for a canvas. */
export const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
