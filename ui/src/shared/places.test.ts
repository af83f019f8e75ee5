import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { look, watchPlace } from './places';

describe('what stands in a list', () => {
  let scroller: HTMLElement;
  let card: HTMLElement;
  let top: number;
  let stop: () => void;
  const onMove = vi.fn();

  beforeEach(() => {
    top = 100;
    scroller = document.createElement('div');
    scroller.style.overflowY = 'auto';
    const list = scroller.appendChild(document.createElement('div'));
    card = list.appendChild(document.createElement('article'));
    card.getBoundingClientRect = () => new DOMRect(0, top - scroller.scrollTop, 10, 10);
    document.body.append(scroller);
    onMove.mockClear();
    stop = watchPlace(card, onMove);
  });

  afterEach(() => {
    stop();
    scroller.remove();
  });

  it('was moved when it is elsewhere on the screen and in the list', () => {
    look();
    expect(onMove).not.toHaveBeenCalled();
    top += 40;
    look();
    expect(onMove).toHaveBeenCalledOnce();
    look();
    expect(onMove).toHaveBeenCalledOnce();
  });

  it('was not moved by scrolling, nor where scrolling makes up for it', () => {
    scroller.scrollTop = 30;
    scroller.dispatchEvent(new Event('scroll'));
    top += 50;
    scroller.scrollTop += 50;
    look();
    expect(onMove).not.toHaveBeenCalled();
  });

  it('is watched no longer than it stands there', () => {
    stop();
    top += 40;
    scroller.dispatchEvent(new Event('scroll'));
    look();
    expect(onMove).not.toHaveBeenCalled();
  });
});
