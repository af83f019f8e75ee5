import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { byHand } from './engine/by-hand';
import { host } from './engine/client';
import { Hands, heedMoves } from './engine/hand';
import type { Transport } from './engine/transport';

/** In a plain browser during development, `?fake=SCENE` picks what there is to see. */
async function transport(): Promise<Transport> {
  if (import.meta.env.DEV && !('__TAURI_INTERNALS__' in window)) {
    const { fakeHost } = await import('./engine/fake-scenes');
    return fakeHost(new URLSearchParams(location.search).get('fake') ?? '');
  }
  const hands = new Hands(document);
  heedMoves(hands);
  return byHand(host, hands);
}

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');
mount(App, { target, props: { transport: await transport() } });
