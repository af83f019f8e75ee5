/** The words for what shows notifications, and for what is in force of the config file. */
import type { ConfigInForce, NotificationsBy } from '../../engine/types';

export interface ServerWords {
  readonly name: string;
  readonly more: string;
  readonly works: boolean;
}

export function serverWords(by: NotificationsBy): ServerWords {
  switch (by.type) {
    case 'server':
      return {
        name: `${by.name} ${by.version}`.trim(),
        more: by.actions
          ? 'It shows buttons.'
          : 'It shows no buttons: questions are answered in this window.',
        works: true,
      };
    case 'missing':
      return { name: 'Nothing', more: sentence(by.why), works: false };
    case 'nobody':
      return { name: 'Nothing', more: 'This host has no window, and shows none.', works: false };
  }
}

/** Returns how the file stands to what is in force. */
export function fileWords({ is_there, error }: ConfigInForce, waits: boolean): string {
  if (error !== null) return 'It has an error: the last version without one is in force.';
  if (waits) return 'A part of it asks for less, and waits for you. The rest is in force.';
  return is_there ? 'It is in force.' : 'There is none, so all is as usual.';
}

/** Returns a length of time as the file's milliseconds mean it. */
export function graceWords(milliseconds: number): string {
  return milliseconds % 1_000 === 0 ? `${milliseconds / 1_000} s` : `${milliseconds} ms`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}
