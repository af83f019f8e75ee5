/** The keys that work everywhere but in a field or a dialog. */
import { isTyping } from '../shared/list-keys';
import type { Navigation, View } from './navigation.svelte';

const VIEWS: Record<string, View> = {
  ...{ 1: 'inbox', 2: 'tasks', 3: 'history', 4: 'rules', 5: 'settings' },
};

export function handleShortcut(
  event: KeyboardEvent,
  navigation: Navigation,
  closeDetail: () => void,
): void {
  if (event.defaultPrevented || document.querySelector('dialog[open]') !== null) return;
  if (event.altKey || event.metaKey) return;
  if (event.key.toLowerCase() === 'n' && (event.ctrlKey || !isTyping(event.target))) {
    event.preventDefault();
    navigation.startSubmitting();
    return;
  }
  if (event.ctrlKey) return;
  if (isTyping(event.target)) {
    if (event.key === 'Escape') leaveField(event.target);
    return;
  }
  const view = VIEWS[event.key];
  if (view !== undefined) navigation.open(view);
  else if (event.key === 'Escape') closeDetail();
}

/** Leaves a field, so that the keys are the window's again; a task's terminal takes Escape itself. */
function leaveField(field: EventTarget | null): void {
  if (field instanceof HTMLElement && field.closest('.xterm') === null) field.blur();
}
