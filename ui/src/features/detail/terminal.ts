/**
 * A terminal that shows, and takes what people type where a task reads it. It acts on nothing
 * that the output asks for: no links, no clipboard, no colours of the window.
 */
import { FitAddon } from '@xterm/addon-fit';
import { Terminal, type IBufferLine, type ITheme } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';
import type { OutputMode } from '../../engine/types';
import type { Screen } from './log-follower.svelte';

/** How wide the task's own terminal is; its redraws are right at this width only. */
const COLUMNS = 120;
const SCROLLBACK = 10_000;
/** What the terminal's own scroll bar takes, in pixels. */
const SCROLL_BAR = 16;
/** Colours, palette resets, links and the clipboard. */
const REFUSED_OSC = [4, 8, 10, 11, 12, 52, 104, 110, 111, 112];

export interface OpenTerminal extends Screen {
  dispose(): void;
}

/** What a person does at a terminal that takes input. */
export interface Typist {
  type(text: string): void;
  resize(columns: number, rows: number): void;
}

/** Opens a terminal; `typist` hears what is typed, where that is wanted. */
export function openTerminal(
  container: HTMLElement,
  output: OutputMode,
  typist: Typist | null,
): OpenTerminal {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const host = document.createElement('div');
  host.style.height = '100%';
  host.style.overflow = 'hidden';
  container.append(host);
  const terminal = new Terminal({
    cols: COLUMNS,
    rows: 24,
    scrollback: SCROLLBACK,
    theme: dark.matches ? DARK : LIGHT,
    disableStdin: typist === null,
    convertEol: !isTerminal(output),
    screenReaderMode: false,
    fontFamily: fontOf(container),
    fontSize: 12,
    lineHeight: 1.25,
    minimumContrastRatio: 4.5,
    cursorInactiveStyle: 'none',
    cursorBlink: false,
    cursorStyle: 'bar',
    cursorWidth: 1,
    linkHandler: { activate: () => undefined, allowNonHttpProtocols: false },
  });
  for (const code of REFUSED_OSC) terminal.parser.registerOscHandler(code, () => true);
  // The keys stay the window's, but for copying and scrolling.
  if (typist === null) {
    terminal.attachCustomKeyEventHandler((event) => event.ctrlKey || event.shiftKey);
  } else {
    terminal.onData((text) => {
      typist.type(text);
    });
    terminal.onResize(({ cols, rows }) => {
      typist.resize(cols, rows);
    });
  }
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(host);

  // Of the columns that a task's terminal has, as many must be reached as were printed in.
  let used = 0;
  const resize = (): void => {
    fitTo(terminal, fit, output);
    widen(terminal, host, output, used);
  };
  terminal.onRender(({ start, end }) => {
    const before = used;
    used = usedColumns(terminal, start, end, used);
    if (used > before) widen(terminal, host, output, used);
  });
  const observer = new ResizeObserver(resize);
  observer.observe(container);
  const retheme = (): void => {
    terminal.options.theme = dark.matches ? DARK : LIGHT;
  };
  dark.addEventListener('change', retheme);
  return {
    write: (bytes, done) => {
      terminal.write(bytes, done);
    },
    clear: () => {
      used = 0;
      widen(terminal, host, output, used);
      terminal.reset();
    },
    dispose: () => {
      observer.disconnect();
      dark.removeEventListener('change', retheme);
      terminal.dispose();
      host.remove();
    },
  };
}

function fitTo(terminal: Terminal, fit: FitAddon, output: OutputMode): void {
  const size = fit.proposeDimensions();
  if (!size || Number.isNaN(size.rows)) return;
  const columns = output === 'terminal' ? COLUMNS : Math.max(20, size.cols);
  terminal.resize(columns, Math.max(4, size.rows));
}

/** Makes room for the columns that are used, so that one can scroll to them and no further. */
function widen(terminal: Terminal, host: HTMLElement, output: OutputMode, used: number): void {
  if (output !== 'terminal') return;
  const screen = host.querySelector<HTMLElement>('.xterm-screen');
  const column = (screen?.offsetWidth ?? 0) / terminal.cols;
  host.style.minWidth = used === 0 ? '0' : `${Math.ceil(column * used) + SCROLL_BAR}px`;
}

/** Returns up to which column the lines in sight are used, or those before them were. */
function usedColumns(terminal: Terminal, start: number, end: number, before: number): number {
  const { active } = terminal.buffer;
  let used = before;
  for (let row = start; row <= end; row += 1) {
    const line = active.getLine(active.viewportY + row);
    if (line) used = Math.max(used, endOf(line, used));
  }
  return used;
}

/** Returns where the text of a line ends; `least` where it ends before that. */
function endOf(line: IBufferLine, least: number): number {
  for (let column = line.length - 1; column >= least; column -= 1) {
    const cell = line.getCell(column);
    if (cell && cell.getChars().trim() !== '') return column + cell.getWidth();
  }
  return least;
}

function isTerminal(output: OutputMode): boolean {
  return output === 'terminal' || output === 'interactive';
}

function fontOf(element: HTMLElement): string {
  return getComputedStyle(element).getPropertyValue('--mono') || 'monospace';
}

const LIGHT: ITheme = {
  background: '#fbfbfc',
  foreground: '#1b1f27',
  cursor: '#1b1f27',
  selectionBackground: '#c9d3f8',
  black: '#1b1f27',
  red: '#b42318',
  green: '#1a7440',
  yellow: '#8a5a00',
  blue: '#2947c5',
  magenta: '#8a2a8f',
  cyan: '#0b6b7a',
  white: '#5b6472',
  brightBlack: '#5b6472',
  brightRed: '#c5281c',
  brightGreen: '#1f7d46',
  brightYellow: '#946200',
  brightBlue: '#3451d1',
  brightMagenta: '#9b34a1',
  brightCyan: '#0e7484',
  brightWhite: '#1b1f27',
};

const DARK: ITheme = {
  background: '#101216',
  foreground: '#e3e5ea',
  cursor: '#e3e5ea',
  selectionBackground: '#35406e',
  black: '#3b4150',
  red: '#ff8a80',
  green: '#6fd396',
  yellow: '#f0c060',
  blue: '#8fa4ff',
  magenta: '#dd9be2',
  cyan: '#6fcbd9',
  white: '#c9ced8',
  brightBlack: '#8b94a5',
  brightRed: '#ffa59d',
  brightGreen: '#8fe3b0',
  brightYellow: '#ffd789',
  brightBlue: '#adbcff',
  brightMagenta: '#ebb8ef',
  brightCyan: '#95dfea',
  brightWhite: '#ffffff',
};
