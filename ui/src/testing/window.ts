/** The whole window on a host in memory, as a test sees it. */
import { render } from '@testing-library/svelte';
import axe from 'axe-core';
import { expect } from 'vitest';
import App from '../App.svelte';
import { FakeHost, type FakeScene } from '../engine/fake';

export interface OpenWindow {
  readonly host: FakeHost;
  /** Returns the element with a `data-test` name, of which there must be one at least. */
  get(test: string): HTMLElement;
  all(test: string): HTMLElement[];
  find(test: string): Promise<HTMLElement>;
  close(): void;
}

/** Opens the window and waits until it has connected. */
export async function openWindow(
  scene?: FakeScene,
  prepare?: (host: FakeHost) => void,
): Promise<OpenWindow> {
  const host = new FakeHost(scene);
  prepare?.(host);
  const { container, unmount } = render(App, { transport: host });
  const all = (test: string): HTMLElement[] => [
    ...container.querySelectorAll<HTMLElement>(`[data-test="${test}"]`),
  ];
  const get = (test: string): HTMLElement => {
    const [first] = all(test);
    if (!first) throw new Error(`nothing is called ${test}`);
    return first;
  };
  const find = async (test: string): Promise<HTMLElement> => {
    await expect.poll(() => all(test).length, { interval: 5 }).toBeGreaterThan(0);
    return get(test);
  };
  await expect
    .poll(() => container.querySelector('nav, [role=alert]'), { interval: 5 })
    .not.toBeNull();
  return { host, get, all, find, close: unmount };
}

/** Opens the window at a view. */
export async function openView(
  view: 'inbox' | 'tasks' | 'history' | 'rules' | 'settings',
  scene?: FakeScene,
): Promise<OpenWindow> {
  const window = await openWindow(scene);
  window.get(`nav-${view}`).click();
  return window;
}

/** Returns what axe finds wrong in the window. jsdom draws nothing: contrast is in tokens.test.ts. */
export async function accessibilityFaults(): Promise<string[]> {
  const rules = { 'color-contrast': { enabled: false } };
  const { violations } = await axe.run(document.body, { rules });
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}`));
}
