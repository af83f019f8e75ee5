// The contrast of every pair of colours that carries meaning, from the stylesheet itself.

import { describe, expect, it } from 'vitest';
import css from './app.css?raw';

const [lightCss = '', darkCss = ''] = css.split('@media (prefers-color-scheme: dark)');

function tokensOf(text: string): Map<string, string> {
  const declarations = text.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g);
  return new Map([...declarations].map(([, name = '', value = '']) => [name, value]));
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((start) => {
    const channel = parseInt(colour.slice(start, start + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [bright = 0, dim = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (bright + 0.05) / (dim + 0.05);
}

const AREAS = ['background', 'sidebar', 'surface', 'raised', 'sunken', 'hover', 'selected'];
const TEXT: [string, string][] = [
  ...AREAS.flatMap((area): [string, string][] => [
    ['text', area],
    ['muted', area],
    ['accent-text', area],
    ['bad-text', area],
  ]),
  ['muted', 'terminal'],
  ['good-text', 'surface'],
  ['good-text', 'background'],
  ['on-accent', 'accent'],
  ['on-accent', 'accent-hover'],
  ['busy-text', 'busy-fill'],
  ['text', 'busy-fill'],
  ['good-text', 'good-fill'],
  ['bad-text', 'bad-fill'],
  ['ask-text', 'ask-fill'],
];
const SHAPES: [string, string][] = [
  ['focus', 'background'],
  ['focus', 'surface'],
  ['focus', 'sidebar'],
  ['focus', 'selected'],
  ['field-line', 'surface'],
  ['accent', 'track'],
  ['good-text', 'track'],
  ['bad-text', 'track'],
];

describe.each([
  ['light', tokensOf(lightCss)],
  ['dark', tokensOf(darkCss)],
])('the %s theme', (_name, tokens) => {
  const colour = (name: string): string => {
    const value = tokens.get(name);
    if (value === undefined) throw new Error(`no colour is called ${name}`);
    return value;
  };

  it.each(TEXT)('has legible %s on %s', (text, area) => {
    expect(contrast(colour(text), colour(area))).toBeGreaterThanOrEqual(4.5);
  });

  it.each(SHAPES)('shows %s on %s', (shape, area) => {
    expect(contrast(colour(shape), colour(area))).toBeGreaterThanOrEqual(3);
  });
});

it('knows the extremes', () => {
  expect(contrast('#000000', '#ffffff')).toBeCloseTo(21);
  expect(contrast('#777777', '#777777')).toBe(1);
});
